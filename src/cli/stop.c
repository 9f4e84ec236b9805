#include "cli/stop.h"

#include <string.h>

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number == SIGINT ? SIGINT : SIGTERM;
}

const volatile sig_atomic_t *lrc_stop_catch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    struct sigaction before; /* nohup has it ignored, and means it */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        (void)sigaction(SIGHUP, &action, NULL);
    return &stop_signal;
}
