#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
	void *handle = dlopen("libprobe.so", RTLD_LAZY);
	if (!handle) { fprintf(stderr, "%s\n", dlerror()); return 1; }
	int (*probe)(void) = (int (*)(void))dlsym(handle, "probe");
	printf("%d\n", probe());
	return 0;
}
