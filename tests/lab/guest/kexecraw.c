/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kexecraw <image> <case> <command line>: kexec hypercalls that kexec-tools
 * would never make.
 *
 * Loads a Xen (ELF32) as an image of type 2 the way kexec-tools do, image into
 * the free slot and multiboot2 information into the region, with the one thing
 * wrong that the case names (cases[] below; "good" has nothing wrong).  Prints
 * what the hypercall returned; exit code 0 if Xen took it, 1 if it refused, 2 if
 * this program could not get that far.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HYPERCALL_KEXEC 37
enum { CMD_EXEC = 0, CMD_GET_RANGE = 3, CMD_LOAD = 4, CMD_UNLOAD = 5 };
enum { RANGE_XEN = 1, RANGE_REGION = 7 };
#define TYPE_LIVE_UPDATE 2

#define PAGE  0x1000ul
#define SLOT  (16ul << 20)
#define UP(x) (((x) + PAGE - 1) & ~(PAGE - 1))

struct privcmd_call {
    uint64_t op, arg[5];
};
#define PRIVCMD_CALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_call))

struct range {
    int32_t range, nr;
    uint64_t size, start;
};

struct segment {
    uint64_t buf, buf_size, dest, dest_size;
};

struct load {
    uint8_t type, pad;
    uint16_t arch;
    uint32_t nr;
    uint64_t segments, entry;
};

static int privcmd;

static __attribute__((noreturn)) void give_up(const char *what)
{
    fprintf(stderr, "kexecraw: %s: %s\n", what, strerror(errno));
    exit(2);
}

static long kexec_op(unsigned int cmd, void *arg)
{
    struct privcmd_call c = { HYPERCALL_KEXEC, { cmd, (uintptr_t)arg } };

    return ioctl(privcmd, PRIVCMD_CALL, &c);
}

static struct range get_range(int which)
{
    struct range r = { .range = which };

    if ( kexec_op(CMD_GET_RANGE, &r) )
        give_up("KEXEC_CMD_kexec_get_range");

    return r;
}

/* ---- Multiboot2 information ---------------------------------------------- */

static struct {
    uint32_t *at;               /* a page */
    unsigned int used;          /* in 32-bit words */
} mbi;

static void tag(uint32_t type, const void *body, size_t len)
{
    mbi.at[mbi.used] = type;
    mbi.at[mbi.used + 1] = 8 + len;
    memcpy(&mbi.at[mbi.used + 2], body, len);
    mbi.used += 2 + (len + 7) / 8 * 2;
    mbi.at[0] = mbi.used * 4;
}

/* ---- What can be wrong ----------------------------------------------------- */

static struct load load = { .type = TYPE_LIVE_UPDATE, .arch = EM_386 };
static struct segment *seg;     /* [0] image, [1] information, [2] spare */
static struct range slot, region;
static const char *cmdline;

static void is(const char *option)
{
    static char line[4096];

    snprintf(line, sizeof(line), "%s %s", cmdline, option);
    cmdline = line;
}

static void good(void) { }
static void type(void) { load.type = 3; }
static void arch(void) { load.arch = EM_ARM; }
static void none(void) { load.nr = 0; }
static void many(void) { load.nr = 0xffffffff; }
static void entry(void) { load.entry = 0x100000; }
static void entry_max(void) { load.entry = ~0ul; }
static void page0(void) { seg[1].dest = region.start; }
static void low(void) { seg[1].dest = 0x2000000; }
static void beyond(void) { seg[1].dest = region.start + region.size + 2 * SLOT; }
static void wrap(void) { seg[1].dest = -PAGE; seg[1].dest_size = 2 * PAGE; }
static void huge(void) { seg[0].dest_size = ~0ul - seg[0].dest + 1; }
static void odd(void) { seg[1].dest += 8; }
static void longer(void) { seg[1].buf_size = seg[1].dest_size + 1; }
static void pointer(void) { seg[1].buf = 0xdead0000; }
static void list(void) { load.segments = 0xdead0000; }
static void shifted(void) { seg[0].dest += PAGE; }
static void no_image(void) { seg[0] = seg[1]; load.nr = 1; }
static void no_info(void) { load.nr = 1; }

static void running(void)
{
    /* The slots are neighbours behind the region: the one that is not free. */
    seg[0].dest = slot.start == region.start + region.size
                  ? slot.start + SLOT : slot.start - SLOT;
}

static void overlap(void)
{
    seg[2] = seg[1];
    seg[2].dest = seg[0].dest;
    load.nr = 3;
}

static void two_infos(void)
{
    seg[2] = seg[1];
    seg[2].dest += PAGE;
    load.nr = 3;
}

static void total(void) { mbi.at[0] = 0x7fffffff; }
static void tag_zero(void) { mbi.at[3] = 0; }
static void tag_long(void) { mbi.at[3] = mbi.at[0]; }
static void no_end(void) { mbi.at[mbi.used - 2] = 9; }
static void no_nul(void) { ((char *)mbi.at)[8 + mbi.at[3] - 1] = 'x'; }

static void module(void)
{
    const uint32_t where[3] = { 0x2000000, 0x2001000, 0 };

    mbi.used -= 2;
    tag(3, where, sizeof(where));
    tag(0, "", 0);
}

static void other_region(void) { is("liveupdate=64M@0x10000000"); }
static void other_size(void)
{
    char line[64];

    snprintf(line, sizeof(line), "liveupdate=16M@0x%lx", region.start);
    is(line);
}
static void rubbish(void) { is("liveupdate=rubbish"); }

/* early: before the information is made of the line; late: after it. */
static const struct {
    const char *name;
    void (*early)(void), (*late)(void);
} cases[] = {
    { "good", NULL, good }, { "type", NULL, type }, { "arch", NULL, arch },
    { "none", NULL, none }, { "many", NULL, many },
    { "entry", NULL, entry }, { "entry-max", NULL, entry_max },
    { "page0", NULL, page0 }, { "low", NULL, low },
    { "beyond", NULL, beyond }, { "wrap", NULL, wrap },
    { "huge", NULL, huge }, { "odd", NULL, odd },
    { "longer", NULL, longer }, { "pointer", NULL, pointer },
    { "list", NULL, list }, { "shifted", NULL, shifted },
    { "no-image", NULL, no_image }, { "no-info", NULL, no_info },
    { "running", NULL, running }, { "overlap", NULL, overlap },
    { "two-infos", NULL, two_infos }, { "total", NULL, total },
    { "tag-zero", NULL, tag_zero }, { "tag-long", NULL, tag_long },
    { "no-end", NULL, no_end }, { "no-nul", NULL, no_nul },
    { "module", NULL, module }, { "other-region", other_region, NULL },
    { "other-size", other_size, NULL }, { "rubbish", rubbish, NULL },
};

static void *pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE,
                   -1, 0);

    if ( p == MAP_FAILED )
        give_up("memory");

    return p;
}

/* The bytes of the image's loadable segments, as kexec-tools place them. */
static void read_image(const char *path)
{
    const Elf32_Ehdr *eh;
    const Elf32_Phdr *ph;
    struct stat st;
    char *file, *at;
    unsigned int i;
    uint32_t low = ~0u, high = 0;
    int fd = open(path, O_RDONLY);

    if ( fd < 0 || fstat(fd, &st) )
        give_up(path);
    file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if ( file == MAP_FAILED )
        give_up(path);

    eh = (const void *)file;
    ph = (const void *)(file + eh->e_phoff);
    for ( i = 0; i < eh->e_phnum; i++ )
        if ( ph[i].p_type == PT_LOAD )
        {
            if ( ph[i].p_paddr < low )
                low = ph[i].p_paddr;
            if ( ph[i].p_paddr + ph[i].p_memsz > high )
                high = ph[i].p_paddr + ph[i].p_memsz;
        }
    if ( high <= low || high - low > SLOT )
        give_up("the image's program headers");

    at = pages(UP(high - low));
    for ( i = 0; i < eh->e_phnum; i++ )
        if ( ph[i].p_type == PT_LOAD )
            memcpy(at + (ph[i].p_paddr - low), file + ph[i].p_offset,
                   ph[i].p_filesz);

    seg[0].buf = (uintptr_t)at;
    seg[0].buf_size = seg[0].dest_size = UP(high - low);
    seg[0].dest = slot.start;
}

int main(int argc, char **argv)
{
    char ours[64];
    unsigned int i;
    long rc;

    if ( argc != 4 )
    {
        fprintf(stderr, "usage: kexecraw <image> <case> <command line>\n");
        return 2;
    }
    for ( i = 0; i < sizeof(cases) / sizeof(*cases); i++ )
        if ( !strcmp(argv[2], cases[i].name) )
            break;
    if ( i == sizeof(cases) / sizeof(*cases) )
    {
        fprintf(stderr, "kexecraw: no case %s\n", argv[2]);
        return 2;
    }

    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if ( privcmd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE) )
        give_up("/dev/xen/privcmd");

    slot = get_range(RANGE_XEN);
    region = get_range(RANGE_REGION);
    seg = pages(PAGE);
    mbi.at = pages(PAGE);
    read_image(argv[1]);

    snprintf(ours, sizeof(ours), "liveupdate=%luM@0x%lx",
             (unsigned long)region.size >> 20, (unsigned long)region.start);
    cmdline = argv[3];
    is(ours);
    if ( cases[i].early )
        cases[i].early();

    mbi.used = 2;
    tag(1, cmdline, strlen(cmdline) + 1);
    tag(0, "", 0);
    seg[1].buf = (uintptr_t)mbi.at;
    seg[1].buf_size = seg[1].dest_size = PAGE;
    seg[1].dest = region.start + PAGE;
    load.nr = 2;
    load.segments = (uintptr_t)seg;
    load.entry = region.start + PAGE;
    if ( cases[i].late )
        cases[i].late();

    rc = kexec_op(CMD_LOAD, &load);
    printf("%s: %s\n", argv[2], rc ? strerror(errno) : "taken");

    return rc ? 1 : 0;
}
