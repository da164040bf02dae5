/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ports that the tests of both event channel ABIs play with, and what should
 * be known of each (ports.c).
 */
#ifndef MICRO_PORTS_H
#define MICRO_PORTS_H

#include "micro.h"

#define MAX_PORT 4096

struct port {
    uint8_t vcpu, prio;
    bool ours, masked, pending, linked;
    uint16_t sender;            /* the port to send to, if it is a loop's end */
};

extern struct port ports[MAX_PORT];
extern uint32_t last_port;

void ports_make(uint32_t end, unsigned int vcpus);
void ports_status(void);
/* Does so, and remembers that it has. */
void port_raise(uint32_t port);
void mask(uint32_t port);
void port_bind(uint32_t port, unsigned int vcpu);

#define for_each_port(p)                                        \
    for ( p = 1; p <= last_port; p++ )                          \
        if ( ports[p].ours )

#endif
