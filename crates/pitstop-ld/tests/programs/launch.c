/* launch PROGRAM COUNT VARIABLE... ARGUMENT...: executes with exactly these variables, in this order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = atoi(argv[2]);
	char **env = calloc(n + 1, sizeof *env);
	memcpy(env, argv + 3, n * sizeof *env);
	argv[n + 2] = argv[1];
	(void)argc;
	execve(argv[1], argv + n + 2, env);
	perror(argv[1]);
	return 126;
}
