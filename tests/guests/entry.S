/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where Xen enters a micro-guest: the first instruction, that of further vCPUs,
 * exceptions, events and the other callbacks.
 *
 * Happy path: each entry from Xen makes a struct frame on the stack of the
 * vCPU, with a vector that names the entry, calls trap(), and goes back
 * by the iret hypercall.  All of that on one stack: entries may nest.
 *
 * What can fail: nothing here; trap() ends the guest when nobody wants an entry.
 */
#define __ASSEMBLY__
#include <xen/elfnote.h>
#include <xen/xen.h>

#include "layout.h"

/* ---- Notes for the domain builder ---- */

        .section .note.Xen, "a", @note

        .macro note_text type, text
        .balign 4
        .long 4, 2f - 1f, \type
        .asciz "Xen"
1:      .asciz "\text"
2:      .balign 4
        .endm

        .macro note_value type, value
        .balign 4
        .long 4, 8, \type
        .asciz "Xen"
        .quad \value
        .endm

        note_text XEN_ELFNOTE_GUEST_OS, "micro"
        note_text XEN_ELFNOTE_XEN_VERSION, "xen-3.0"
        note_text XEN_ELFNOTE_LOADER, "generic"
        note_value XEN_ELFNOTE_VIRT_BASE, VIRT_BASE
        note_value XEN_ELFNOTE_PADDR_OFFSET, 0
        note_value XEN_ELFNOTE_ENTRY, _start
        note_value XEN_ELFNOTE_HYPERCALL_PAGE, hypercall_page

/* ---- Starting ---- */

        .section .text.hypercalls, "ax"
        .balign 4096
        .globl hypercall_page
hypercall_page:
        .skip 4096

        .text
        .globl _start
_start:
        cld
        mov %rsi, %rdi
        mov %rsp, %rsi
        lea stacks + STACK_SIZE(%rip), %rsp
        xor %ebp, %ebp
        call start
        ud2

/* A further vCPU; its stack is its own. */
        .globl vcpu_entry
vcpu_entry:
        cld
        xor %ebp, %ebp
        call vcpu_main
        ud2

/* ---- Entries from Xen ---- */

/* What Xen has pushed starts with rcx and r11. */
        .macro entry name, vector, error=0
        .globl \name
\name:
        pop %rcx
        pop %r11
        .if !\error
        push $0
        .endif
        push $\vector
        jmp enter
        .endm

enter:
        push %rax
        push %rcx
        push %rdx
        push %rbx
        push %rbp
        push %rsi
        push %rdi
        push %r8
        push %r9
        push %r10
        push %r11
        push %r12
        push %r13
        push %r14
        push %r15
        cld
        mov %rsp, %rdi
        mov %rsp, %rbp
        and $-16, %rsp
        call trap
        mov %rbp, %rsp

        .globl leave
leave:
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %r11
        pop %r10
        pop %r9
        pop %r8
        pop %rdi
        pop %rsi
        pop %rbp
        pop %rbx
        pop %rdx
        pop %rcx
        pop %rax
        /* In place of vector and error code: the flags of the hypercall. */
        lea 16(%rsp), %rsp
        push $0
        /* It pushes what else it wants and does not return. */
        jmp hypercall_page + __HYPERVISOR_iret * 32

/* resume(frame): goes on with a frame that was made by hand. */
        .globl resume
resume:
        mov %rdi, %rsp
        jmp leave

        entry exc_0, 0
        entry exc_1, 1
        entry exc_2, 2
        entry exc_3, 3
        entry exc_4, 4
        entry exc_5, 5
        entry exc_6, 6
        entry exc_7, 7
        entry exc_8, 8, 1
        entry exc_10, 10, 1
        entry exc_11, 11, 1
        entry exc_12, 12, 1
        entry exc_13, 13, 1
        entry exc_14, 14, 1
        entry exc_16, 16
        entry exc_17, 17, 1
        entry exc_19, 19
        entry exc_80, 0x80

        entry cb_event, VECTOR_EVENT
        entry cb_syscall, VECTOR_SYSCALL
        entry cb_syscall32, VECTOR_SYSCALL32
        entry cb_sysenter, VECTOR_SYSENTER
        entry cb_nmi, VECTOR_NMI

/* The failsafe callback finds ds, es, fs and gs on top. */
        .globl cb_failsafe
cb_failsafe:
        pop %rcx
        pop %r11
        add $32, %rsp
        push $0
        push $VECTOR_FAILSAFE
        jmp enter

        .section .note.GNU-stack, "", @progbits
