/* A library: what its constructor sees of the environment while the loader still works, and a function to call. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;
char *probe_seen[4096];
static __thread int counter = 41;

__attribute__((constructor)) static void look(int argc, char **argv, char **envp)
{
	(void)argc; (void)argv;
	int n = 0;
	for (char **e = envp; *e && n < 4095; e++) probe_seen[n++] = strdup(*e);
#ifdef UNSET
	unsetenv(UNSET);
#endif
#ifdef SET
	setenv(SET, "1", 1);
#endif
}

static int chosen(void) { return 1; }
static int (*choose(void))(void) { return chosen; }
int probe_ifunc(void) __attribute__((ifunc("choose")));

int probe(void) { return probe_ifunc() + counter; }
