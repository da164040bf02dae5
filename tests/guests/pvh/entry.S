/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a PVH micro-guest begins, and how interrupts and exceptions enter it.
 *
 * Happy path: Xen enters in 32-bit mode without paging, with the address of struct
 * hvm_start_info in ebx. The first 4 GiB are mapped to themselves by pages of 2 MiB, and
 * start() goes on in 64-bit mode. Each vector has a stub of 16 bytes, which makes a
 * struct frame and calls trap().
 *
 * What can fail: nothing that could be told to anybody yet.
 */
#define __ASSEMBLY__
#include <xen/elfnote.h>

#include "pvh.h"

        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long entry32

/* ---- Starting ---- */

        .text
        .code32
/* For QEMU, which boots it as an HVM guest's kernel: a Multiboot header with addresses. */
        .balign 4
multiboot:
        .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        .long multiboot, 0x100000, load_end, bss_end, entry_multiboot

/* ebx has the address of what the boot loader tells; the command line is at 16 there. */
entry_multiboot:
        mov 16(%ebx), %eax
        mov %eax, told + 24
        mov $told, %ebx

        .globl entry32
entry32:
        cld
        mov %ebx, %esi

        /* Four tables of 512 pages each; what is above 3 GiB is not cached. */
        mov $l2_tables, %edi
        mov $0x83, %eax
        mov $2048, %ecx
1:      cmp $0xc0000000, %eax
        jb 2f
        or $0x10, %eax
2:      mov %eax, (%edi)
        movl $0, 4(%edi)
        add $8, %edi
        add $0x200000, %eax
        dec %ecx
        jnz 1b

        movl $l3_table + 7, l4_table
        movl $l2_tables + 0x0007, l3_table
        movl $l2_tables + 0x1007, l3_table + 8
        movl $l2_tables + 0x2007, l3_table + 16
        movl $l2_tables + 0x3007, l3_table + 24

        /* PAE, OSFXSR, OSXMMEXCPT; LME; PG, WP, NE, MP, PE. */
        mov $0x620, %eax
        mov %eax, %cr4
        mov $l4_table, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x100, %eax
        wrmsr
        mov $0x80010023, %eax
        mov %eax, %cr0
        lgdt gdt_pointer
        ljmp $SEL_CODE, $entry64

        .code64
entry64:
        mov $SEL_DATA, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        xor %eax, %eax
        mov %eax, %fs
        mov %eax, %gs
        mov %esi, %edi
        mov $stack_end, %esp
        mov $SEL_TSS, %eax
        ltr %ax
        xor %ebp, %ebp
        call start
        ud2

/* The second vCPU: 64-bit mode with paging, and selectors that are null. */
        .globl second_entry
second_entry:
        lgdt gdt_pointer
        mov $SEL_DATA, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $second_stack + STACK_SIZE, %esp
        push $SEL_CODE
        push $1f
        lretq
1:      xor %ebp, %ebp
        call second_start
        ud2

/* ---- Vectors ---- */

        .balign 16
        .globl stubs
stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if !((0x227d00 >> (vector & 31)) & 1) || vector >= 32
        push $0
        .endif
        push $vector
        jmp enter
        .set vector, vector + 1
        .endr

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
        add $16, %rsp
        iretq

/* ---- Tables ---- */

        .data
        .balign 8
gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* SEL_CODE */
        .quad 0x00cf93000000ffff        /* SEL_DATA */
        .quad 0x0000890000000067        /* SEL_TSS: at 0, never looked at */
        .quad 0
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .long gdt
        .balign 8
/* A struct hvm_start_info with nothing but cmdline_paddr, which is at 24. */
told:
        .skip 56

        .bss
        .balign 4096
        .globl hypercall_page
hypercall_page:
        .skip 4096
        .globl l4_table
l4_table:
        .skip 4096
l3_table:
        .skip 4096
l2_tables:
        .skip 4 * 4096
        .skip STACK_SIZE
stack_end:
        .globl second_stack
second_stack:
        .skip STACK_SIZE

        .section .note.GNU-stack, "", @progbits
