/* SIGINT, SIGTERM and SIGHUP (a terminal that was closed; taken as SIGTERM) of a command that leaves
 * something behind. */
#ifndef LRC_CLI_STOP_H
#define LRC_CLI_STOP_H

#include <signal.h>

/* From here on the first of them is kept in what this returns, 0 until then, and the command ends when it has
 * brought its work to a close; a second one ends the program at once. */
const volatile sig_atomic_t *lrc_stop_catch(void);

#endif
