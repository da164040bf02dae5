/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ttypoll <tty>: makes a serial port work without its interrupt.
 *
 * With interrupt 0 Linux looks at the port from a timer.  The command channel
 * then works even while the lab debugs how Xen hands interrupts over.  Fails if
 * the tty is no serial port.
 */
#include <fcntl.h>
#include <linux/serial.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
    struct serial_struct s;
    int fd = argc == 2 ? open(argv[1], O_RDWR | O_NONBLOCK) : -1;

    if ( fd < 0 || ioctl(fd, TIOCGSERIAL, &s) )
    {
        perror("ttypoll: TIOCGSERIAL");
        return 1;
    }
    s.irq = 0;
    if ( ioctl(fd, TIOCSSERIAL, &s) )
    {
        perror("ttypoll: TIOCSSERIAL");
        return 1;
    }

    return 0;
}
