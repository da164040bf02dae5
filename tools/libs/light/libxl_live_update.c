/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Live update of Xen: load, check, execute, and what became of it.
 *
 * Happy path: load reads a Xen (ELF32, gzipped or not), lays its segments out as they
 * lie in memory, writes the multiboot2 information that its boot wants (command line,
 * memory map) and hands both to Xen; check and execute are hypercalls.
 *
 * What can fail: a file that is no such image, ERROR_INVAL; what Xen refuses,
 * ERROR_LIVE_UPDATE_REFUSED.  Whether it was Xen's judgement or a call that could not be
 * made at all is told by the attempt that Xen counts.  Nothing is judged here that Xen
 * judges.
 */
#include "libxl_osdeps.h" /* must come before any other headers */

#include <elf.h>

#include "libxl_internal.h"

#define MB2_TAG_END     0
#define MB2_TAG_CMDLINE 1
#define MB2_TAG_LOADER  2
#define MB2_TAG_MMAP    6

/* Xen takes a boot for an update only if the loader's name begins with "kexec". */
#define LOADER_NAME "kexec (libxl)"

/* As kexec's user interface, in which Xen's errors are Linux's. */
#define KEXEC_LU KEXEC_TYPE_LIVE_UPDATE

/* ---- Asking ------------------------------------------------------------------- */

/* ERROR_NI: not a Xen with live update.  ERROR_NOPARAVIRT and others: no hypercall. */
static int get_status(libxl__gc *gc, xen_live_update_status_t *status)
{
    if (!xc_live_update_status(CTX->xch, status))
        return 0;

    if (errno == ENOSYS) {
        LOG(ERROR, "this Xen has no live update");
        return ERROR_NI;
    }
    LOGE(ERROR, "asking for the status of live update");

    return ERROR_FAIL;
}

/* What a call that failed with errno `err` means: `before` is of before it. */
static int judge(libxl__gc *gc, const xen_live_update_status_t *before, int err,
                 const char *what)
{
    xen_live_update_status_t now;

    if (!get_status(gc, &now) && now.attempt != before->attempt)
        return ERROR_LIVE_UPDATE_REFUSED;

    LOGEV(ERROR, err, "live update: %s", what);

    return ERROR_FAIL;
}

static void fill_version(libxl__gc *gc, libxl_live_update_version *out,
                         const xen_live_update_version_t *v)
{
    char *id = libxl__zalloc(NOGC, 2 * sizeof(v->build_id) + 1);
    unsigned int i;

    for (i = 0; i < v->build_id_len && i < sizeof(v->build_id); i++)
        sprintf(id + 2 * i, "%02x", v->build_id[i]);

    out->major = v->xen_major;
    out->minor = v->xen_minor;
    out->extraversion = libxl__strndup(NOGC, v->extraversion,
                                       sizeof(v->extraversion));
    out->build_id = id;
}

static int fill_reports(libxl__gc *gc, libxl_live_update_info *info,
                        unsigned int nr)
{
    xen_live_update_report_t r;

    info->reports = libxl__calloc(NOGC, nr ?: 1, sizeof(*info->reports));

    while (info->num_reports < nr) {
        libxl_live_update_report *out = &info->reports[info->num_reports];

        if (xc_live_update_report(CTX->xch, info->num_reports, &r)) {
            /* Somebody began another attempt meanwhile. */
            if (errno == ENOENT)
                break;
            LOGE(ERROR, "asking for a report of live update");
            return ERROR_FAIL;
        }
        libxl_live_update_report_init(out);
        out->domid = r.domid == DOMID_INVALID ? -1 : r.domid;
        out->blocker = r.flags & XEN_LIVE_UPDATE_R_BLOCKER;
        out->lost = r.flags & XEN_LIVE_UPDATE_R_LOSS;
        out->transient = r.error == EBUSY || r.error == EAGAIN;
        out->error = r.error;
        out->feature = libxl__strndup(NOGC, r.feature, sizeof(r.feature));
        out->text = libxl__strndup(NOGC, r.text, sizeof(r.text));
        info->num_reports++;
    }

    return 0;
}

static int fill_gaps(libxl__gc *gc, libxl_live_update_info *info)
{
    xen_live_update_gap_t g;

    while (!xc_live_update_gap(CTX->xch, info->num_gaps, &g)) {
        libxl_live_update_gap *out;

        info->gaps = libxl__realloc(NOGC, info->gaps, (info->num_gaps + 1) *
                                                      sizeof(*info->gaps));
        out = &info->gaps[info->num_gaps++];
        libxl_live_update_gap_init(out);
        out->domid = g.domid;
        out->gap = g.gap_ns;
    }

    if (errno != ENOENT) {
        LOGE(ERROR, "asking for a gap of live update");
        return ERROR_FAIL;
    }

    return 0;
}

static int fill_losses(libxl__gc *gc, libxl_live_update_info *info)
{
    xen_live_update_loss_t l;

    while (!xc_live_update_loss(CTX->xch, info->num_losses, &l)) {
        libxl_live_update_loss *out;

        info->losses = libxl__realloc(NOGC, info->losses,
                                      (info->num_losses + 1) *
                                      sizeof(*info->losses));
        out = &info->losses[info->num_losses++];
        libxl_live_update_loss_init(out);
        out->name = libxl__strndup(NOGC, l.name, sizeof(l.name));
        out->text = libxl__strndup(NOGC, l.text, sizeof(l.text));
        out->allowed = l.allowed;
    }

    if (errno != ENOENT) {
        LOGE(ERROR, "asking what a live update may lose");
        return ERROR_FAIL;
    }

    return 0;
}

static int fill_records(libxl__gc *gc, libxl_live_update_info *info)
{
    xen_live_update_record_t r;

    while (!xc_live_update_record(CTX->xch, info->num_records, &r)) {
        libxl_live_update_record *out;

        info->records = libxl__realloc(NOGC, info->records,
                                       (info->num_records + 1) *
                                       sizeof(*info->records));
        out = &info->records[info->num_records++];
        libxl_live_update_record_init(out);
        out->type = r.type;
        out->name = libxl__strndup(NOGC, r.name, sizeof(r.name));
        out->min_version = r.min_version;
        out->max_version = r.max_version;
        out->written = r.written;
    }

    if (errno != ENOENT) {
        LOGE(ERROR, "asking for a record of live update");
        return ERROR_FAIL;
    }

    return 0;
}

int libxl_get_live_update_info(libxl_ctx *ctx, libxl_live_update_info *info)
{
    GC_INIT(ctx);
    xen_live_update_status_t s;
    int rc;

    rc = get_status(gc, &s);
    if (rc) goto out;

    info->enabled = s.flags & XEN_LIVE_UPDATE_F_ENABLED;
    info->waiting = s.flags & XEN_LIVE_UPDATE_F_WAITING;
    info->is_loaded = s.flags & XEN_LIVE_UPDATE_F_LOADED;
    info->loaded_debug = s.flags & XEN_LIVE_UPDATE_F_DEBUG;
    info->zone_start = s.zone_start;
    info->zone_size = s.zone_size;
    info->wait_ms = s.wait_ms;
    info->updates = s.updates;
    info->dump_bytes = s.dump_bytes;
    info->dump_kb = s.dump_pages * (XC_PAGE_SIZE / 1024);
    info->domains = s.nr_domains;
    info->kept_kb = s.kept_pages * (XC_PAGE_SIZE / 1024);
    info->times.paused = s.paused_ns;
    info->times.freeze = s.freeze_ns;
    info->times.save = s.save_ns;
    info->times.jump = s.jump_ns;
    info->times.boot = s.boot_ns;
    info->times.restore = s.restore_ns;
    info->times.release = s.release_ns;
    info->last = s.last_op;
    info->last_error = s.last_error;
    info->lost_reports = s.lost_reports;
    fill_version(gc, &info->running, &s.running);
    fill_version(gc, &info->loaded, &s.loaded);
    fill_version(gc, &info->previous, &s.previous);

    rc = fill_gaps(gc, info);
    if (rc) goto out;
    rc = fill_reports(gc, info, s.nr_reports);
    if (rc) goto out;
    rc = fill_losses(gc, info);
    if (rc) goto out;
    rc = fill_records(gc, info);

out:
    GC_FREE;
    return rc;
}

/* ---- The last stream --------------------------------------------------------- */

/* Parts that are written at a time. */
#define PARTS 128

int libxl_live_update_dump(libxl_ctx *ctx, int fd)
{
    GC_INIT(ctx);
    xen_live_update_status_t before, after;
    xen_live_update_dump_t part;
    uint64_t done = 0;
    size_t have = 0;
    uint32_t i;
    char *buf;
    int rc;

    rc = get_status(gc, &before);
    if (rc) goto out;
    if (!before.dump_bytes) {
        rc = ERROR_NOTFOUND;
        goto out;
    }

    buf = libxl__malloc(gc, PARTS * sizeof(part.data));
    for (i = 0; done < before.dump_bytes; i++) {
        if (xc_live_update_dump(ctx->xch, i, &part)) {
            rc = errno == ENOENT ? ERROR_NOTFOUND : ERROR_FAIL;
            LOGE(ERROR, "reading part %u of the last stream", i);
            goto out;
        }
        if (!part.len || part.len > sizeof(part.data) ||
            part.len > before.dump_bytes - done)
            break;
        memcpy(buf + have, part.data, part.len);
        have += part.len;
        done += part.len;
        if (done < before.dump_bytes && have < PARTS * sizeof(part.data))
            continue;
        rc = libxl_write_exactly(ctx, fd, buf, have, "a file", "stream");
        if (rc) {
            rc = ERROR_FAIL;
            goto out;
        }
        have = 0;
    }

    /* This process lives through updates: half of it may be of the next one. */
    rc = get_status(gc, &after);
    if (!rc && (done != before.dump_bytes || after.updates != before.updates ||
                after.dump_bytes != before.dump_bytes)) {
        LOG(ERROR, "the last stream was dropped while it was read");
        rc = ERROR_NOTFOUND;
    }

out:
    GC_FREE;
    return rc;
}

/* ---- Loading ------------------------------------------------------------------- */

/*
 * The image as it lies in memory, from its lowest address on; NULL if the file is none
 * that Xen's build makes.  `room` is what a slot holds.
 */
static void *lay_out(libxl__gc *gc, const void *file, size_t len, size_t room,
                     size_t *size)
{
    const Elf32_Ehdr *eh = file;
    const Elf32_Phdr *ph;
    uint64_t low = ~0ULL, high = 0;
    unsigned int i;
    char *mem;

    if (len < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG)) {
        LOG(ERROR, "the image is no ELF file, gzipped or not");
        return NULL;
    }
    if (eh->e_ident[EI_CLASS] != ELFCLASS32 || eh->e_machine != EM_386 ||
        eh->e_phentsize != sizeof(*ph)) {
        LOG(ERROR, "the image is no ELF file for 32 bits: not what Xen's build calls xen or xen.gz");
        return NULL;
    }
    if (eh->e_phoff > len || eh->e_phnum > (len - eh->e_phoff) / sizeof(*ph)) {
        LOG(ERROR, "the image's program headers are outside of the file");
        return NULL;
    }
    ph = file + eh->e_phoff;

    for (i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type != PT_LOAD)
            continue;
        if (ph[i].p_offset > len || ph[i].p_filesz > len - ph[i].p_offset ||
            ph[i].p_filesz > ph[i].p_memsz) {
            LOG(ERROR, "segment %u of the image is outside of the file", i);
            return NULL;
        }
        low = min(low, (uint64_t)ph[i].p_paddr);
        high = max(high, (uint64_t)ph[i].p_paddr + ph[i].p_memsz);
    }
    if (high <= low || high - low > room) {
        LOG(ERROR, "the image takes %"PRIu64" bytes, a slot has %zu",
            high > low ? high - low : 0, room);
        return NULL;
    }

    *size = high - low;
    mem = libxl__zalloc(gc, *size);
    for (i = 0; i < eh->e_phnum; i++)
        if (ph[i].p_type == PT_LOAD)
            memcpy(mem + (ph[i].p_paddr - low), file + ph[i].p_offset,
                   ph[i].p_filesz);

    return mem;
}

/* One tag; returns where the next one goes. */
static void *put_tag(void *at, uint32_t type, const void *body, uint32_t len)
{
    const uint32_t head[2] = { type, sizeof(head) + len };

    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), body, len);

    return at + sizeof(head) + ROUNDUP(len, 3);
}

/* What Xen's boot wants to be told: its line, and the machine's memory. */
static void *boot_info(libxl__gc *gc, const char *cmdline, uint32_t *size)
{
    struct e820entry map[E820MAX];
    struct {
        uint32_t entry_size, entry_version;
        struct {
            uint64_t addr, size;
            uint32_t type, reserved;
        } entry[E820MAX];
    } mmap = { .entry_size = sizeof(mmap.entry[0]) };
    const uint32_t line_len = strlen(cmdline) + 1;
    void *info, *at;
    int i, nr;

    nr = xc_get_machine_memory_map(CTX->xch, map, ARRAY_SIZE(map));
    if (nr <= 0) {
        LOGE(ERROR, "asking for the machine's memory map");
        return NULL;
    }
    for (i = 0; i < nr; i++) {
        mmap.entry[i].addr = map[i].addr;
        mmap.entry[i].size = map[i].size;
        mmap.entry[i].type = map[i].type;
    }

    info = libxl__zalloc(gc, line_len + sizeof(mmap) + 128);
    at = info + 8;
    at = put_tag(at, MB2_TAG_CMDLINE, cmdline, line_len);
    at = put_tag(at, MB2_TAG_LOADER, LOADER_NAME, sizeof(LOADER_NAME));
    at = put_tag(at, MB2_TAG_MMAP, &mmap,
                 offsetof(typeof(mmap), entry[nr]));
    at = put_tag(at, MB2_TAG_END, "", 0);
    *size = *(uint32_t *)info = at - info;

    return info;
}

/*
 * "xen <line> liveupdate=<size>@<address>".  The running Xen's own line may end in that
 * of the update before, or ask for a zone; the last one counts, so that all go.
 */
static char *make_cmdline(libxl__gc *gc, const char *line,
                          uint64_t region, uint64_t region_size)
{
    static const char name[] = "liveupdate";
    char *copy = libxl__strdup(gc, line), *out = "xen", *word, *save;

    for (word = strtok_r(copy, " ", &save); word;
         word = strtok_r(NULL, " ", &save)) {
        if (!strncmp(word, name, sizeof(name) - 1) &&
            strchr("=", word[sizeof(name) - 1]))
            continue;
        out = GCSPRINTF("%s %s", out, word);
    }

    return GCSPRINTF("%s %s=%"PRIu64"M@0x%"PRIx64, out, name,
                     region_size >> 20, region);
}

int libxl_live_update_load(libxl_ctx *ctx, const char *image,
                           const char *cmdline)
{
    GC_INIT(ctx);
    const libxl_version_info *version;
    xen_live_update_status_t status;
    struct xc_dom_image *dom = NULL;
    uint64_t region, region_size, slot, slot_size;
    void *mem, *info;
    uint32_t info_size;
    struct stat st;
    size_t size;
    int rc;

    rc = get_status(gc, &status);
    if (rc) goto out;

    /* Also when this fails, there is none any more that was loaded before. */
    if ((status.flags & XEN_LIVE_UPDATE_F_LOADED) &&
        xc_kexec_unload(ctx->xch, KEXEC_LU)) {
        LOGE(ERROR, "unloading the image that was loaded");
        rc = ERROR_FAIL;
        goto out;
    }

    if (!(status.flags & XEN_LIVE_UPDATE_F_ENABLED)) {
        LOG(ERROR, "Xen has set no memory aside: boot it with liveupdate=<size>");
        rc = ERROR_LIVE_UPDATE_REFUSED;
        goto out;
    }

    if (!cmdline) {
        version = libxl_get_version_info(ctx);
        if (!version) {
            rc = ERROR_FAIL;
            goto out;
        }
        cmdline = version->commandline;
    }

    rc = ERROR_FAIL;
    if (xc_kexec_get_range(ctx->xch, KEXEC_RANGE_MA_LIVEUPDATE, 0,
                           &region_size, &region) ||
        xc_kexec_get_range(ctx->xch, KEXEC_RANGE_MA_XEN, 0,
                           &slot_size, &slot)) {
        LOGE(ERROR, "asking where an image may lie");
        goto out;
    }

    dom = xc_dom_allocate(ctx->xch, NULL, NULL);
    if (!dom) {
        LOGE(ERROR, "allocating what an image is read with");
        goto out;
    }
    rc = ERROR_INVAL;
    if (stat(image, &st)) {
        LOGE(ERROR, "%s", image);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        LOG(ERROR, "%s is no regular file", image);
        goto out;
    }
    if (xc_dom_kernel_file(dom, image)) {
        LOGE(ERROR, "reading %s", image);
        goto out;
    }
    mem = lay_out(gc, dom->kernel_blob, dom->kernel_size, slot_size, &size);
    if (!mem) goto out;

    rc = ERROR_FAIL;
    info = boot_info(gc, make_cmdline(gc, cmdline, region, region_size),
                     &info_size);
    if (!info) goto out;

    rc = 0;
    if (xc_live_update_load(ctx->xch, mem, size, slot, info, info_size,
                            region + XC_PAGE_SIZE))
        rc = judge(gc, &status, errno, "loading the image");

out:
    if (dom)
        xc_dom_release(dom);
    GC_FREE;
    return rc;
}

int libxl_live_update_unload(libxl_ctx *ctx)
{
    GC_INIT(ctx);
    xen_live_update_status_t status;
    int rc;

    rc = get_status(gc, &status);
    if (!rc && xc_kexec_unload(ctx->xch, KEXEC_LU)) {
        LOGE(ERROR, "unloading the image");
        rc = ERROR_FAIL;
    }

    GC_FREE;
    return rc;
}

/* ---- Checking, executing ---------------------------------------------------------- */

int libxl_live_update_check(libxl_ctx *ctx)
{
    GC_INIT(ctx);
    xen_live_update_status_t status;
    int rc;

    rc = get_status(gc, &status);
    if (!rc && xc_live_update_check(ctx->xch))
        rc = judge(gc, &status, errno, "checking");

    GC_FREE;
    return rc;
}

int libxl_live_update_allow_loss(libxl_ctx *ctx, const char *name)
{
    GC_INIT(ctx);
    xen_live_update_status_t status;
    int rc;

    rc = get_status(gc, &status);
    /* "" means all. */
    if (!rc && name && !*name)
        rc = ERROR_INVAL;
    if (!rc && xc_live_update_allow(ctx->xch, name ?: "")) {
        rc = errno == ENOENT ? ERROR_INVAL : ERROR_FAIL;
        LOGE(ERROR, "allowing a live update to lose %s", name ?: "nothing");
    }

    GC_FREE;
    return rc;
}

int libxl_live_update_abort(libxl_ctx *ctx)
{
    GC_INIT(ctx);
    xen_live_update_status_t status;
    int rc;

    rc = get_status(gc, &status);
    if (!rc && xc_live_update_abort(ctx->xch)) {
        if (errno == ENOENT) {
            rc = ERROR_INVAL;
        } else {
            LOGE(ERROR, "aborting a live update");
            rc = ERROR_FAIL;
        }
    }

    GC_FREE;
    return rc;
}

/* Between two attempts, ms. */
#define RETRY 200

typedef struct {
    libxl__ao *ao;
    libxl__ev_time retry;
    int left;                   /* ms */
} execute_state;

static void execute_again(libxl__egc *egc, libxl__ev_time *ev,
                          const struct timeval *requested_abs, int rc);

/* 0: nothing was found that would not pass by itself. */
static int worth_waiting(libxl__gc *gc)
{
    xen_live_update_status_t s;
    xen_live_update_report_t r;
    unsigned int i, reasons = 0;

    if (get_status(gc, &s) || s.lost_reports)
        return ERROR_LIVE_UPDATE_REFUSED;

    for (i = 0; i < s.nr_reports; i++) {
        if (xc_live_update_report(CTX->xch, i, &r))
            return ERROR_LIVE_UPDATE_REFUSED;
        if (r.flags & XEN_LIVE_UPDATE_R_LOSS)
            continue;
        if (r.error != EBUSY && r.error != EAGAIN)
            return ERROR_LIVE_UPDATE_REFUSED;
        reasons++;
    }

    return reasons ? 0 : ERROR_LIVE_UPDATE_REFUSED;
}

static void execute(libxl__egc *egc, execute_state *es)
{
    STATE_AO_GC(es->ao);
    xen_live_update_status_t status;
    int rc;

    rc = get_status(gc, &status);
    if (rc) goto out;

    if (!xc_kexec_exec(CTX->xch, KEXEC_LU))
        goto out;

    rc = judge(gc, &status, errno, "executing the image");
    if (rc != ERROR_LIVE_UPDATE_REFUSED || es->left <= 0 || worth_waiting(gc))
        goto out;

    es->left -= RETRY;
    rc = libxl__ev_time_register_rel(ao, &es->retry, execute_again,
                                     min(RETRY, es->left + RETRY));
    if (!rc)
        return;

out:
    libxl__ao_complete(egc, ao, rc);
}

static void execute_again(libxl__egc *egc, libxl__ev_time *ev,
                          const struct timeval *requested_abs, int rc)
{
    execute_state *es = CONTAINER_OF(ev, *es, retry);
    STATE_AO_GC(es->ao);

    libxl__ev_time_deregister(gc, ev);
    if (rc == ERROR_TIMEDOUT)
        execute(egc, es);
    else
        libxl__ao_complete(egc, ao, rc);
}

int libxl_live_update_execute(libxl_ctx *ctx, uint32_t timeout_ms,
                              const libxl_asyncop_how *ao_how)
{
    AO_CREATE(ctx, 0, ao_how);
    execute_state *es;

    GCNEW(es);
    es->ao = ao;
    es->left = min(timeout_ms, (uint32_t)INT_MAX);
    libxl__ev_time_init(&es->retry);
    execute(egc, es);

    return AO_INPROGRESS;
}

/*
 * Local variables:
 * mode: C
 * c-basic-offset: 4
 * indent-tabs-mode: nil
 * End:
 */
