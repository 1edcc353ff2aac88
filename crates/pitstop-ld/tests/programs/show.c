/* What a program sees of itself, line by line: E environ, C environ in a library's constructor, P /proc/self/environ,
 * G getenv, X /proc/self/exe, A argv, B the file that AT_BASE lies in, M mappings, D environ is a copy, ! what is wrong. A
 * program with special rights may not read its own /proc. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;
extern void _start(void);
extern char *probe_seen[];
extern int probe(void);

static void auxiliary(char **env)
{
	while (*env) env++;
	unsigned long *pair = (unsigned long *)(env + 1);
	int base = 0, entry = 0, name = 0;
	for (; pair[0] != AT_NULL; pair += 2) {
		/* glibc answers for AT_HWCAP with bits of its own. */
		if (pair[0] == AT_IGNORE || pair[0] == AT_HWCAP || pair[0] == AT_HWCAP2) continue;
		errno = 0;
		if (getauxval(pair[0]) != pair[1] || errno) printf("! auxv %lu\n", pair[0]);
		base += pair[0] == AT_BASE, entry += pair[0] == AT_ENTRY, name += pair[0] == AT_EXECFN;
	}
	if (base != 1 || entry != 1 || name != 1) puts("! the walk past environ does not come out at the vector");
	if (getauxval(AT_ENTRY) != (unsigned long)_start) puts("! AT_ENTRY");
	if (getauxval(AT_PHDR) == 0) puts("! AT_PHDR");
	printf("N%s\n", (char *)getauxval(AT_EXECFN));
}

static void maps(void)
{
	char line[4400];
	FILE *f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof line, f)) {
		unsigned long start = strtoul(line, 0, 16);
		char *path = strchr(line, '/');
		if (path && start == getauxval(AT_BASE)) printf("B%s", path);
		printf("M%s", line);
	}
	if (f) fclose(f);
}

int main(int argc, char **argv, char **envp)
{
	char buffer[1 << 16], link[4096] = "";
	if (argc > 1 && !strcmp(argv[1], "child")) { execl("/usr/bin/env", "env", "-0", (char *)0); return 126; }
	if (envp != environ) puts("D");
	for (char **e = environ; *e; e++) printf("E%s\n", *e);
	for (char **e = probe_seen; *e; e++) printf("C%s\n", *e);
	FILE *f = fopen("/proc/self/environ", "r");
	size_t n = !f ? 0 : fread(buffer, 1, sizeof buffer - 1, f);
	buffer[n] = 0;
	for (char *p = buffer; p < buffer + n; p += strlen(p) + 1) printf("P%s\n", p);
	char *path = getenv("LD_LIBRARY_PATH");
	printf("G%s\n", path ? path : "(unset)");
	if (readlink("/proc/self/exe", link, sizeof link - 1) > 0) printf("X%s\n", link);
	for (int i = 0; i < argc; i++) printf("A%s\n", argv[i]);
	if (envp == environ) auxiliary(envp);
	if (probe() != 42) puts("! probe");
	maps();
	return 0;
}
