/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tsc: prints the time stamp counter and the real-time clock, "<tsc> <seconds>".
 *
 * For intervals across a reboot by kexec, which no clock of a kernel survives: the
 * counter goes on, as nothing resets the processor's (tests/bench/run).  Under
 * instruction counting it is virtual nanoseconds.  The seconds, read from the CMOS
 * chip by way of /dev/rtc0, tell whether the counter did go on; 0 if there is no chip.
 */
#include <fcntl.h>
#include <linux/rtc.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    uint32_t lo, hi;
    struct rtc_time rtc;
    long long seconds = 0;
    int fd;

    asm volatile ( "lfence; rdtsc" : "=a" (lo), "=d" (hi) :: "memory" );
    fd = open("/dev/rtc0", O_RDONLY);
    if ( fd >= 0 && !ioctl(fd, RTC_RD_TIME, &rtc) )
    {
        struct tm tm = { .tm_sec = rtc.tm_sec, .tm_min = rtc.tm_min,
                         .tm_hour = rtc.tm_hour, .tm_mday = rtc.tm_mday,
                         .tm_mon = rtc.tm_mon, .tm_year = rtc.tm_year };

        seconds = timegm(&tm);
    }
    printf("%llu %lld\n", (unsigned long long)hi << 32 | lo, seconds);
    return 0;
}
