/* Runs a command and writes its largest resident size, in bytes, as the kernel counts it:
 * peak_of FILE COMMAND... Exits as the command does. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int n_arguments, char **arguments)
{
    struct rusage usage;
    int           status;
    if (n_arguments < 3)
        return 1;
    const pid_t child = fork();
    if (child == 0) {
        (void)execv(arguments[2], arguments + 2);
        _exit(127);
    }
    FILE *out = fopen(arguments[1], "we");
    if (child < 0 || !out || wait4(child, &status, 0, &usage) != child)
        return 1;
    (void)fprintf(out, "%lld\n", (long long)usage.ru_maxrss * 1024);
    return fclose(out) == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
