/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * KEXEC_CMD_kexec_live_update: asking about live updates of Xen.
 *
 * Each function is one operation of xen/liveupdate_op.h and returns 0, or -1 with errno
 * set.  A Xen without live update answers any command of kexec with 0 and leaves the
 * argument alone: xc_live_update_status() notices that (ENOSYS) and is to be called
 * before any other.
 */
#include <elf.h>

#include "xc_private.h"

/* `in` and `out` are of the member at `offset`, or NULL. */
static int live_update_op(xc_interface *xch, uint32_t op, uint32_t index,
                          const void *in, void *out, size_t size,
                          size_t offset)
{
    DECLARE_HYPERCALL_BUFFER(xen_live_update_t, arg);
    int ret;

    arg = xc_hypercall_buffer_alloc(xch, arg, sizeof(*arg));
    if ( arg == NULL )
    {
        PERROR("live update: no bounce buffer");
        return -1;
    }

    memset(arg, 0, sizeof(*arg));
    arg->op = op;
    arg->index = index;
    if ( in )
        memcpy((char *)arg + offset, in, size);

    ret = xencall2(xch->xcall, __HYPERVISOR_kexec_op,
                   KEXEC_CMD_kexec_live_update, HYPERCALL_BUFFER_AS_ARG(arg));
    if ( ret == 0 && out )
        memcpy(out, (const char *)arg + offset, size);

    xc_hypercall_buffer_free(xch, arg);

    return ret;
}

#define ASK(op, index, member, out)                                     \
    live_update_op(xch, XEN_LIVE_UPDATE_ ## op, index, NULL, out,       \
                   sizeof(*(out)), offsetof(xen_live_update_t, u.member))

int xc_live_update_status(xc_interface *xch, xen_live_update_status_t *status)
{
    int ret = ASK(status, 0, status, status);

    if ( ret == 0 && status->running.xen_major == 0 )
    {
        errno = ENOSYS;
        ret = -1;
    }

    return ret;
}

int xc_live_update_report(xc_interface *xch, uint32_t index,
                          xen_live_update_report_t *report)
{
    return ASK(report, index, report, report);
}

int xc_live_update_record(xc_interface *xch, uint32_t index,
                          xen_live_update_record_t *record)
{
    return ASK(record, index, record, record);
}

int xc_live_update_gap(xc_interface *xch, uint32_t index,
                       xen_live_update_gap_t *gap)
{
    return ASK(gap, index, gap, gap);
}

int xc_live_update_dump(xc_interface *xch, uint32_t index,
                        xen_live_update_dump_t *part)
{
    return ASK(dump, index, dump, part);
}

int xc_live_update_loss(xc_interface *xch, uint32_t index,
                        xen_live_update_loss_t *loss)
{
    return ASK(loss, index, loss, loss);
}

int xc_live_update_allow(xc_interface *xch, const char *name)
{
    xen_live_update_loss_t loss = { };

    if ( strlen(name) >= sizeof(loss.name) )
    {
        errno = ENOENT;
        return -1;
    }
    strcpy(loss.name, name);

    return live_update_op(xch, XEN_LIVE_UPDATE_allow, 0, &loss, NULL,
                          sizeof(loss), offsetof(xen_live_update_t, u.loss));
}

int xc_live_update_check(xc_interface *xch)
{
    return live_update_op(xch, XEN_LIVE_UPDATE_check, 0, NULL, NULL, 0, 0);
}

int xc_live_update_abort(xc_interface *xch)
{
    return live_update_op(xch, XEN_LIVE_UPDATE_abort, 0, NULL, NULL, 0, 0);
}

int xc_live_update_load(xc_interface *xch, const void *image,
                        size_t image_size, uint64_t image_addr,
                        const void *info, size_t info_size, uint64_t info_addr)
{
    DECLARE_HYPERCALL_BUFFER(void, image_buf);
    DECLARE_HYPERCALL_BUFFER(void, info_buf);
    xen_kexec_segment_t seg[2] = {
        { .buf_size = image_size, .dest_maddr = image_addr,
          .dest_size = ROUNDUP(image_size, XC_PAGE_SHIFT) },
        { .buf_size = info_size, .dest_maddr = info_addr,
          .dest_size = ROUNDUP(info_size, XC_PAGE_SHIFT) },
    };
    int ret = -1;

    image_buf = xc_hypercall_buffer_alloc(xch, image_buf, image_size);
    info_buf = xc_hypercall_buffer_alloc(xch, info_buf, info_size);
    if ( image_buf == NULL || info_buf == NULL )
    {
        PERROR("live update: no buffers for an image of %zu bytes", image_size);
        goto out;
    }

    memcpy(image_buf, image, image_size);
    memcpy(info_buf, info, info_size);
    set_xen_guest_handle(seg[0].buf.h, image_buf);
    set_xen_guest_handle(seg[1].buf.h, info_buf);

    /* Xen leaves to the image's own entry: this one has to be in the region only. */
    ret = xc_kexec_load(xch, KEXEC_TYPE_LIVE_UPDATE, EM_386, info_addr, 2, seg);

 out:
    xc_hypercall_buffer_free(xch, info_buf);
    xc_hypercall_buffer_free(xch, image_buf);

    return ret;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
