/* clock.h - the two clocks of the process. Threads: any. */
#ifndef SPILLWAY_BASE_CLOCK_H
#define SPILLWAY_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since the epoch, UTC; may step. For Last-Modified and records. */
int64_t clock_wall_ms(void);

/* Milliseconds of a clock that never steps. For deadlines and intervals. */
int64_t clock_mono_ms(void);

/* Microseconds of the same clock. For times that are measured. */
int64_t clock_mono_us(void);

/* Milliseconds of the same clock, through a suspend of the machine too. */
int64_t clock_boot_ms(void);

#endif
