/* What this machine has. */
#ifndef LRC_BASE_MACHINE_H
#define LRC_BASE_MACHINE_H

#include <stdint.h>

/* Memory that can be used without swapping (MemAvailable of /proc/meminfo, or the cgroup's limit when that is
 * less); -1 when unknown. */
int64_t lrc_machine_available_bytes(void);
/* Largest resident size of this process so far (VmHWM); -1 when unknown. */
int64_t lrc_machine_peak_bytes(void);
/* What malloc() has given out and not got back; 0 when unknown. */
int64_t lrc_machine_heap_bytes(void);
/* Pages that only hold what was freed go back to the system. */
void lrc_machine_heap_trim(void);
/* Seconds of a clock that only goes forward. */
double lrc_machine_seconds(void);

#endif
