/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of a micro-guest and its tests share.
 *
 * A test has a function `set`, which puts state into Xen, and one `verify`, which
 * says whether it is still there; main.c has the table.  Both run on vCPU 0 with
 * upcalls masked, as everything does that does not say otherwise.  Parameters of
 * the command are asked for with arg(); bad() records what is wrong, note() puts
 * key=value in the answer.
 */
#ifndef MICRO_H
#define MICRO_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/io/console.h>

#include "hypercalls.h"
#include "layout.h"

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define PAGE 4096UL
#define barrier() asm volatile ( "" ::: "memory" )
#define READ(x) (*(volatile __typeof__(x) *)&(x))

/* What an entry from Xen leaves on the stack (entry.S). */
struct frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx;
    uint64_t rax, vector, error, rip, cs, rflags, rsp, ss;
};

/* ---- main.c ---- */

struct test {
    const char *name, *what;
    void (*set)(void), (*verify)(void), (*end)(void);
};

extern const struct test *const tests[];
extern const unsigned int nr_tests;
extern start_info_t *start_info;
extern shared_info_t *shared;
extern unsigned int nr_vcpus;

/* ---- commands.c ---- */

extern const char *cmd_line;
void obey_for_ever(void) __attribute__((noreturn));

/* The value of key=... in the command, and in the guest's command line. */
uint64_t arg(const char *key, uint64_t otherwise);
bool option(const char *word);
void bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void want(long rc, const char *what);
uint64_t random(uint64_t *seed);
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- console.c ---- */

void console_init(void *page, uint32_t port);
void console_seize(void);
void console_puts(const char *text);
bool console_getc(char *c);
uint32_t console_port(void);
int format(char *out, size_t size, const char *fmt, va_list ap);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- pages.c ---- */

#define PTE_P   0x001UL
#define PTE_RW  0x002UL
#define PTE_US  0x004UL
#define PTE_A   0x020UL
#define PTE_D   0x040UL
#define PTE_MFN 0x000ffffffffff000UL
#define PTE_RAM (PTE_P | PTE_RW | PTE_A | PTE_D)

void pages_init(unsigned long stack);
void *page_alloc(void);
void page_free(void *va);
unsigned long pages_left(void);
unsigned long pfn_of(const void *va);
unsigned long mfn_of(const void *va);
void set_mfn(unsigned long pfn, unsigned long mfn);
void *va_of(unsigned long pfn);
uint64_t pte_of(const void *va, uint64_t flags);
long pte_set(unsigned long table_mfn, unsigned int index, uint64_t pte);
long page_protect(void *va, bool writable);
uint64_t *pte_at(unsigned long va);
uint64_t *table_at(unsigned long va, unsigned int level);
unsigned long root_mfn(void);
void map_scratch(unsigned long va);

#define USER 0x400000UL         /* the code of a user space; its stack follows */
void *user_space(const void *code, size_t size);

/* ---- clock.c ---- */

#define MS 1000000UL

uint64_t now(void);
static inline uint64_t tsc(void)
{
    uint32_t low, high;

    asm volatile ( "lfence; rdtsc" : "=a" (low), "=d" (high) :: "memory" );

    return low | ((uint64_t)high << 32);
}

/* Naps until the condition holds; false after so many ms of the guest's time. */
void nap(uint64_t ms);
#define wait_until(cond, ms)                            \
    ({                                                  \
        uint64_t end_ = now() + (ms) * MS;              \
        bool ok_;                                       \
        while ( !(ok_ = (cond)) && now() < end_ )       \
            nap(1);                                     \
        ok_;                                            \
    })

/* ---- traps.c ---- */

/* Handlers say whether it was theirs; one that nobody wants ends the guest. */
typedef bool handler(struct frame *f);

extern trap_info_t trap_table[];
void traps_init(void);
/* Returns who wanted it before. */
handler *on_trap(unsigned int vector, handler *fn);
unsigned int try_write(volatile uint64_t *to, uint64_t value);
unsigned int try_in(unsigned int port);

/* ---- events.c ---- */

extern bool fifo;

void shared_init(void);
void events_init(void);
void events_vcpu(unsigned int vcpu);
uint32_t port_ipi(unsigned int vcpu);
uint32_t port_virq(unsigned int virq, unsigned int vcpu);
void port_send(uint32_t port);
void port_mask(uint32_t port);
void port_unmask(uint32_t port);
bool port_pending(uint32_t port);
bool port_masked(uint32_t port);
void port_clear(uint32_t port);
volatile uint32_t *fifo_word(uint32_t port);
void fifo_expand(const uint32_t *words);
unsigned int fifo_pages(void);
struct evtchn_fifo_control_block *fifo_block(unsigned int vcpu);
bool fifo_take(unsigned int vcpu, unsigned int queue, uint32_t *port,
               bool *live);
void fifo_ready(unsigned int vcpu);

/* Upcalls of a vCPU: what takes them, and letting them in for a moment. */
typedef void upcall(unsigned int vcpu);
void on_event(unsigned int vcpu, upcall *fn);
void let_events_in(void);
static inline vcpu_info_t *vcpu_info(unsigned int vcpu)
{
    extern vcpu_info_t *vcpu_infos[];

    return vcpu_infos[vcpu];
}

/* SCHEDOP_poll for one port; until 0: for ever. */
void poll(uint32_t port, uint64_t until);

/* Who needs which vCPU for itself, across an update. */
enum {
    CPU_POLL = 1, CPU_POLL_TIME, CPU_REGS, CPU_SEGS, CPU_DOWN, CPU_STORM,
    CPU_TIMER, CPU_NMI, CPU_IO, CPU_QUEUED, CPU_QUEUED_LAST = CPU_QUEUED + 5,
    CPU_PREPARED, CPU_UNTOUCHED, NR_CPUS
};

/* ---- vcpus.c ---- */

unsigned int me(void);
void vcpu_prepare(unsigned int vcpu);
bool vcpu_there(unsigned int vcpu);
void vcpu_do(unsigned int vcpu, void (*fn)(void *), void *arg);
bool vcpu_idle(unsigned int vcpu);
bool vcpu_wait(unsigned int vcpu, uint64_t ms);

/* ---- What a freestanding program has to bring ---- */

void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
int strcmp(const char *a, const char *b);
size_t strlen(const char *s);

#endif
