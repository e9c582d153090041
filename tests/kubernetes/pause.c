/* The first process of a pod's sandbox and of a node: it only is there. What ends below it leaves no zombie, since
 * children of a process that ignores SIGCHLD are not waited for (wait(2), Notes). */
#include <signal.h>
#include <unistd.h>

static void end(int signal) {
    (void)signal;
    _exit(0);
}

int main(void) {
    signal(SIGCHLD, SIG_IGN);
    signal(SIGTERM, end);
    for (;;)
        pause();
}
