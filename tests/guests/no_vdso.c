/* Gives up its vDSO, and writes a line to the file named first every now and then. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const struct timespec moment = { .tv_nsec = 20000000 };
    unsigned long start, end;
    char line[400];
    int out, gone = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (argc != 2 || !maps || (out = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return 2;
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
            gone = !munmap((void *)start, end - start);
    fclose(maps);
    while (gone && write(out, "goes on\n", 8) == 8)
        nanosleep(&moment, NULL);
    return 1;
}
