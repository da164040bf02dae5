/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HVM_IO: what a vCPU was in the middle of when it asked a device model.  Included at
 * the end of arch/x86/hvm/emulate.c.
 *
 * A vCPU that waits has no stack of its own: when the answer is there the emulation of
 * its instruction is begun anew, and finds here what it had come to.  That is the
 * request, the bytes of the instruction, what it has exchanged with devices so far, and
 * what it has read from memory, so that it reads the same a second time.  Which server
 * it waits for is in IOREQ.  Loading the registers in HVM_CONTEXT cancels all of it, so
 * this comes later.
 *
 * What can fail, in the new Xen: fields out of range; more reads than it has room for.
 */
#include "../../../common/liveupdate/internal.h"

/* ---- Save ------------------------------------------------------------------------ */

static void fill_request(struct lu_hvm_io_rec *r, const ioreq_t *req)
{
    r->state = req->state;
    if ( req->state == STATE_IOREQ_NONE )
        return;

    r->addr = req->addr;
    r->data = req->data;
    r->count = req->count;
    r->size = req->size;
    r->type = req->type;
    r->flags |= (req->dir == IOREQ_READ ? LU_HVMIO_F_READ : 0) |
                (req->df ? LU_HVMIO_F_DOWN : 0) |
                (req->data_is_ptr ? LU_HVMIO_F_PTR : 0);
}

static void fill_insn(struct lu_hvm_io_rec *r, const struct hvm_vcpu_io *hvio)
{
    BUILD_BUG_ON(sizeof(r->insn) != sizeof(hvio->mmio_insn));

    r->flags |= hvio->mmio_retry ? LU_HVMIO_F_RETRY : 0;
    r->insn_len = hvio->mmio_insn_bytes;
    memcpy(r->insn, hvio->mmio_insn, min_t(unsigned int, r->insn_len,
                                           sizeof(r->insn)));
    if ( hvio->mmio_access.gla_valid )
    {
        r->flags |= LU_HVMIO_F_GLA;
        r->access = (hvio->mmio_access.read_access ? LU_HVMIO_A_READ : 0) |
                    (hvio->mmio_access.write_access ? LU_HVMIO_A_WRITE : 0) |
                    (hvio->mmio_access.insn_fetch ? LU_HVMIO_A_FETCH : 0) |
                    (hvio->mmio_access.present ? LU_HVMIO_A_PRESENT : 0);
        r->gla = hvio->mmio_gla;
        r->gfn = hvio->mmio_gpfn;
    }
}

static int put_exchanged(struct lu_stream *s, const struct hvm_mmio_cache *c)
{
    struct lu_hvm_mmio_rec m = {
        .gla = c->gla,
        .size = c->size,
        .dir = c->dir,
    };

    BUILD_BUG_ON(sizeof(m.buffer) != sizeof(c->buffer));
    memcpy(m.buffer, c->buffer, sizeof(m.buffer));

    return lu_rec_put(s, &m, sizeof(m));
}

/* What of the word is not the data read means nothing, and is not initialised. */
static uint64_t low_bytes(uint64_t data, unsigned int size)
{
    return size < sizeof(data) ? data & ((1UL << (size * 8)) - 1) : data;
}

static int put_vcpu(struct lu_stream *s, const struct vcpu *v, bool dry)
{
    const struct hvm_vcpu_io *hvio = &v->arch.hvm.hvm_io;
    const struct hvmemul_cache *cache = hvio->cache;
    struct lu_hvm_io_rec r = {
        .id = lu_id(&lu_kind_hvm_io, v->domain, v->vcpu_id),
        .flags = v->mapcache_invalidate ? LU_HVMIO_F_MAPCACHE : 0,
        .completion = v->io.completion,
    };
    unsigned int i;
    int rc;

    BUILD_BUG_ON(VIO_no_completion != LU_HVMIO_NONE);
    BUILD_BUG_ON(VIO_mmio_completion != LU_HVMIO_MMIO);
    BUILD_BUG_ON(VIO_pio_completion != LU_HVMIO_PIO);
    BUILD_BUG_ON(VIO_realmode_completion != LU_HVMIO_REALMODE);

    /* It may run: as much as there could be. */
    if ( dry )
    {
        r.nr_mmio = ARRAY_SIZE(hvio->mmio_cache);
        r.nr_reads = cache->max_ents;
    }
    else
    {
        fill_request(&r, &v->io.req);
        fill_insn(&r, hvio);
        r.nr_mmio = hvio->mmio_cache_count;
        if ( cache->num_ents <= cache->max_ents )
        {
            r.flags |= LU_HVMIO_F_READS;
            r.nr_reads = cache->num_ents;
        }
    }

    rc = lu_rec_begin(s, LU_REC_HVM_IO) ?: lu_rec_put(s, &r, sizeof(r));

    for ( i = 0; !rc && i < r.nr_mmio; i++ )
        rc = put_exchanged(s, &hvio->mmio_cache[i]);

    for ( i = 0; !rc && i < r.nr_reads; i++ )
    {
        const struct lu_hvm_read_rec e = {
            .gpa = cache->ents[i].gpa,
            .data = low_bytes(cache->ents[i].data, cache->ents[i].size),
            .size = cache->ents[i].size,
        };

        rc = lu_rec_put(s, &e, sizeof(e));
    }

    return rc ?: lu_rec_end(s);
}

static int cf_check save_hvm_io(struct lu_stream *s, struct domain *d)
{
    const bool dry = local_irq_is_enabled();
    struct vcpu *v;
    int rc = 0;

    if ( !is_hvm_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        rc = put_vcpu(s, v, dry);
        if ( rc )
            break;
    }

    return rc;
}

/* ---- Restore --------------------------------------------------------------------- */

#define HVMIO_F_KNOWN (LU_HVMIO_F_READ | LU_HVMIO_F_DOWN | LU_HVMIO_F_PTR |      \
                       LU_HVMIO_F_RETRY | LU_HVMIO_F_GLA | LU_HVMIO_F_READS |    \
                       LU_HVMIO_F_MAPCACHE)

static bool request_sane(const struct lu_hvm_io_rec *r)
{
    if ( r->state == STATE_IOREQ_NONE )
        return !r->addr && !r->data && !r->count && !r->size && !r->type &&
               !(r->flags & (LU_HVMIO_F_READ | LU_HVMIO_F_DOWN |
                             LU_HVMIO_F_PTR));

    return (r->state == STATE_IOREQ_READY || r->state == STATE_IORESP_READY) &&
           (r->type == IOREQ_TYPE_PIO || r->type == IOREQ_TYPE_COPY) &&
           r->size && r->size <= sizeof(long) && !(r->size & (r->size - 1)) &&
           r->count;
}

/* What is done with the answer: handle_pio() and _hvm_emulate_one() rely on it. */
static bool completion_sane(const struct lu_hvm_io_rec *r)
{
    const bool again = r->completion == LU_HVMIO_MMIO ||
                       r->completion == LU_HVMIO_REALMODE;

    if ( again != !!(r->flags & LU_HVMIO_F_READS) )
        return false;

    switch ( r->completion )
    {
    case LU_HVMIO_NONE:
        return true;

    case LU_HVMIO_PIO:
        if ( r->type != IOREQ_TYPE_PIO || r->size > 4 || r->addr > UINT16_MAX )
            return false;
        break;

    case LU_HVMIO_MMIO:
        break;

    case LU_HVMIO_REALMODE:
        if ( !cpu_has_vmx )
            return false;
        break;

    default:
        return false;
    }

    /* ioreq_needs_completion() */
    return r->state == STATE_IOREQ_READY && !(r->flags & LU_HVMIO_F_PTR) &&
           (r->type != IOREQ_TYPE_PIO || (r->flags & LU_HVMIO_F_READ));
}

/* The name of the first field that no old Xen can have written, or NULL. */
static const char *bad_field(const struct lu_hvm_io_rec *r)
{
    if ( r->flags & ~HVMIO_F_KNOWN )
        return "flags";
    if ( !request_sane(r) )
        return "request";
    if ( !completion_sane(r) )
        return "completion";
    if ( r->insn_len > sizeof(r->insn) )
        return "insn_len";
    if ( (r->access & ~(LU_HVMIO_A_READ | LU_HVMIO_A_WRITE | LU_HVMIO_A_FETCH |
                        LU_HVMIO_A_PRESENT)) ||
         (!(r->flags & LU_HVMIO_F_GLA) && (r->access || r->gla || r->gfn)) )
        return "access";
    if ( r->nr_mmio > ARRAY_SIZE(((struct hvm_vcpu_io *)0)->mmio_cache) )
        return "nr_mmio";
    if ( r->nr_reads && !(r->flags & LU_HVMIO_F_READS) )
        return "nr_reads";
    if ( r->reserved )
        return "reserved";

    return NULL;
}

static void set_request(ioreq_t *req, const struct lu_hvm_io_rec *r)
{
    *req = (ioreq_t){
        .addr = r->addr,
        .data = r->data,
        .count = r->count,
        .size = r->size,
        .type = r->type,
        .state = r->state,
        .dir = r->flags & LU_HVMIO_F_READ ? IOREQ_READ : IOREQ_WRITE,
        .df = !!(r->flags & LU_HVMIO_F_DOWN),
        .data_is_ptr = !!(r->flags & LU_HVMIO_F_PTR),
    };
}

static void set_insn(struct hvm_vcpu_io *hvio, const struct lu_hvm_io_rec *r)
{
    hvio->mmio_retry = r->flags & LU_HVMIO_F_RETRY;
    hvio->mmio_insn_bytes = r->insn_len;
    memcpy(hvio->mmio_insn, r->insn, sizeof(hvio->mmio_insn));
    if ( !(r->flags & LU_HVMIO_F_GLA) )
        return;

    hvio->mmio_access = (struct npfec){
        .read_access = !!(r->access & LU_HVMIO_A_READ),
        .write_access = !!(r->access & LU_HVMIO_A_WRITE),
        .insn_fetch = !!(r->access & LU_HVMIO_A_FETCH),
        .present = !!(r->access & LU_HVMIO_A_PRESENT),
        .gla_valid = 1,
        .kind = npfec_kind_with_gla,
    };
    hvio->mmio_gla = r->gla;
    hvio->mmio_gpfn = r->gfn;
}

static int take_exchanged(const struct lu_stream *s, const struct lu_rec *rec,
                          struct vcpu *v, uint32_t off, uint32_t nr)
{
    struct hvm_vcpu_io *hvio = &v->arch.hvm.hvm_io;
    unsigned int i;

    for ( i = 0; i < nr; i++, off += sizeof(struct lu_hvm_mmio_rec) )
    {
        struct hvm_mmio_cache *c = &hvio->mmio_cache[i];
        struct lu_hvm_mmio_rec m;
        int rc = lu_rec_read(s, rec, off, &m, sizeof(m));

        if ( rc )
            return rc;
        if ( m.size > sizeof(c->buffer) || m.dir > 1 || m.reserved ||
             m.reserved2 )
            return lu_error(-EBADMSG, v->domain, "HVM_IO %u: access %u of %u bytes",
                            v->vcpu_id, i, m.size);

        c->gla = m.gla;
        c->size = m.size;
        c->dir = m.dir;
        memcpy(c->buffer, m.buffer, sizeof(c->buffer));
    }
    hvio->mmio_cache_count = nr;

    return 0;
}

static int take_reads(const struct lu_stream *s, const struct lu_rec *rec,
                      struct vcpu *v, uint32_t off, uint32_t nr)
{
    struct hvmemul_cache *cache = v->arch.hvm.hvm_io.cache;
    unsigned int i;

    if ( nr > cache->max_ents )
        return lu_error(-E2BIG, v->domain, "HVM_IO %u: %u reads, this Xen keeps %u",
                        v->vcpu_id, nr, cache->max_ents);

    for ( i = 0; i < nr; i++, off += sizeof(struct lu_hvm_read_rec) )
    {
        struct lu_hvm_read_rec e;
        int rc = lu_rec_read(s, rec, off, &e, sizeof(e));

        if ( rc )
            return rc;
        if ( !e.size || e.size > sizeof(cache->ents->data) || e.reserved ||
             (e.gpa >> PADDR_BITS) || e.data != low_bytes(e.data, e.size) )
            return lu_error(-EBADMSG, v->domain,
                            "HVM_IO %u: read %u of %u bytes at %#"PRIx64,
                            v->vcpu_id, i, e.size, e.gpa);

        cache->ents[i].gpa = e.gpa;
        cache->ents[i].size = e.size;
        cache->ents[i].data = e.data;
    }
    cache->num_ents = nr;

    return 0;
}

static int cf_check restore_hvm_io(const struct lu_stream *s,
                                   const struct lu_rec *rec, struct domain *d)
{
    struct vcpu *v = lu_vcpu(d, rec->id.instance);
    struct lu_hvm_io_rec r;
    const char *bad;
    int rc = lu_rec_read(s, rec, 0, &r, sizeof(r));

    if ( rc )
        return rc;
    if ( !v || !is_hvm_domain(d) )
        return lu_error(-ESRCH, d, "HVM_IO %u: no HVM vCPU", rec->id.instance);
    bad = bad_field(&r);
    if ( bad )
        return lu_error(-EBADMSG, d, "HVM_IO %u: %s out of range", v->vcpu_id,
                        bad);

    v->mapcache_invalidate = r.flags & LU_HVMIO_F_MAPCACHE;
    v->io.completion = r.completion;
    set_request(&v->io.req, &r);
    set_insn(&v->arch.hvm.hvm_io, &r);

    rc = take_exchanged(s, rec, v, sizeof(r), r.nr_mmio);
    if ( !rc && (r.flags & LU_HVMIO_F_READS) )
        rc = take_reads(s, rec, v, sizeof(r) + r.nr_mmio *
                                   sizeof(struct lu_hvm_mmio_rec), r.nr_reads);

    return rc;
}

const struct lu_kind lu_kind_hvm_io = {
    .name = "HVM_IO",
    .type = LU_REC_HVM_IO,
    .size = sizeof(struct lu_hvm_io_rec),
    .array = { LU_ARRAY(lu_hvm_io_rec, nr_mmio, struct lu_hvm_mmio_rec),
               LU_ARRAY(lu_hvm_io_rec, nr_reads, struct lu_hvm_read_rec) },
    .number = LU_ONE_IF_HVM,
    .version = 1,
    .min_version = 1,
    .pass = LU_PASS_STATE,
    .per_domain = true,
    .per_vcpu = true,
    .save = save_hvm_io,
    .restore = restore_hvm_io,
};
