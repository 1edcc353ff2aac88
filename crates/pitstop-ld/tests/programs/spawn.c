/* spawn PROGRAM: runs it by posix_spawn and by vfork, from a thread with a small stack, and waits for both. */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static __thread int local = 7;
static int failed;

static void reap(pid_t child)
{
	int status = -1;
	if (child <= 0 || waitpid(child, &status, 0) != child || status != 0) failed = 1;
}

static void *run(void *program)
{
	char *argv[] = {program, 0};
	pid_t child = 0;
	local++;
	if (posix_spawn(&child, program, 0, 0, argv, environ)) failed = 1;
	reap(child);
	child = vfork();
	if (child == 0) { execve(program, argv, environ); _exit(126); }
	reap(child);
	return local == 8 ? program : 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	for (int i = 0; i < 8; i++) {
		pthread_t thread;
		void *result;
		if (pthread_create(&thread, 0, run, argv[1]) || pthread_join(thread, &result) || !result) failed = 1;
	}
	if (local != 7) failed = 1;
	puts(failed ? "failed" : "sixteen children");
	return failed;
}
