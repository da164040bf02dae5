/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kexec type 2: loading the next Xen, and asking for the update.
 * Tail-included into common/kexec.c, for its images and flags.
 *
 * Load: like a crash image, every segment goes straight to where it will run,
 * here the free slot and the region, so that nothing is left to copy in the
 * pause.  The previous image is unloaded first, since it lay in the same place, and the
 * stream of the last update is dropped, which may take several calls (-ERESTART).
 * What was loaded is then inspected where it lies (image.c).
 *
 * Exec: waits for what passes (passing.c), the hypercall being called again and
 * again; then continues on CPU0's idle vCPU, where lu_exec() takes over.  The calling
 * vCPU is paused until that has failed; a timer starts it once more where this may
 * help, so that domains run on CPU0 in between.
 *
 * Query: looks (status.c), or tries on the same idle vCPU how far an update would get.
 *
 * What can fail: no zone, a segment outside it, an image that is refused: each
 * is an errno to the caller and a line in the log, and no image is loaded then.  Exec
 * while another vCPU's is under way: -EBUSY.
 */
#include <xen/tasklet.h>
#include <xen/timer.h>

#define LU_NO_ZONE \
    "no memory was set aside: boot Xen with liveupdate=<size>"

/* Called by kexec_load() for every type, before anything is allocated. */
static int lu_load_begin(const xen_kexec_load_t *load)
{
    xen_kexec_unload_t unload = { .type = KEXEC_TYPE_LIVE_UPDATE };
    int rc;

    if ( load->type != KEXEC_TYPE_LIVE_UPDATE )
        return 0;

    /* May have to be gone on with: not yet an attempt. */
    rc = lu_dump_drop();
    if ( rc )
        return rc;

    lu_report_begin(XEN_LIVE_UPDATE_OP_load);
    lu_wait_reset();
    if ( !lu_enabled() )
        return lu_error(-ENODEV, NULL, LU_NO_ZONE);

    return kexec_do_unload(&unload);
}

/* Called by kexec_do_unload() for every type. */
static int lu_unload_begin(const xen_kexec_unload_t *unload)
{
    if ( unload->type != KEXEC_TYPE_LIVE_UPDATE )
        return 0;

    lu_losses_reset();

    return lu_dump_drop();
}

/* After the segments are in place: may this image ever be jumped to? */
static int lu_load_end(const struct kexec_image *image)
{
    if ( image->type != KEXEC_TYPE_LIVE_UPDATE )
        return 0;

    return lu_image_check(image);
}

static struct kexec_image *lu_loaded_image(void)
{
    int pos = !!test_bit(KEXEC_FLAG_LIVE_UPDATE_POS, &kexec_flags);

    return test_bit(KEXEC_IMAGE_LIVE_UPDATE_BASE + pos, &kexec_flags)
           ? kexec_image[KEXEC_IMAGE_LIVE_UPDATE_BASE + pos] : NULL;
}

/* The vCPU in the hypercall, paused and its domain held; NULL: there is none. */
static struct vcpu *exec_caller;

static void cf_check exec_work(void *unused);
static DECLARE_TASKLET(exec_tasklet, exec_work, NULL);

static void cf_check exec_again(void *unused)
{
    tasklet_schedule_on_cpu(&exec_tasklet, 0);
}

static void cf_check exec_work(void *unused)
{
    static struct timer nap;
    struct vcpu *v = exec_caller;
    struct kexec_image *image;
    /* Unless the flag is free: whoever holds it will be through soon. */
    long rc = -ERESTART;

    /* Its registers are complete once it has left its CPU. */
    vcpu_sleep_sync(v);

    /* Holds off load and unload of the image that is about to run. */
    if ( !test_and_set_bit(KEXEC_FLAG_IN_HYPERCALL, &kexec_flags) )
    {
        lu_report_begin(XEN_LIVE_UPDATE_OP_exec);
        image = lu_loaded_image();
        rc = image ? lu_exec(image, v)
                   : lu_error(-ENOENT, NULL, "exec: no image is loaded");
        lu_report_end(rc == -ERESTART ? -EAGAIN : rc);
        clear_bit(KEXEC_FLAG_IN_HYPERCALL, &kexec_flags);
    }

    if ( rc == -ERESTART )
    {
        if ( !nap.function )
            init_timer(&nap, exec_again, NULL, 0);
        set_timer(&nap, NOW() + LU_NAP);
        return;
    }

    arch_hypercall_tasklet_result(v, rc);
    exec_caller = NULL;
    vcpu_unpause(v);
    put_domain(v->domain);
}

static int lu_kexec_exec(XEN_GUEST_HANDLE_PARAM(void) uarg)
{
    if ( lu_wait(lu_loaded_image()) )
        return hypercall_create_continuation(__HYPERVISOR_kexec_op, "lh",
                                             KEXEC_CMD_kexec, uarg);

    if ( lu_wait_aborted() )
    {
        lu_report_begin(XEN_LIVE_UPDATE_OP_exec);
        return lu_report_end(lu_error(-EINTR, NULL, "exec: aborted"));
    }

    /*
     * kexec_op is under no lock.  The other one naps, and begins its next try anew: its
     * findings are not mixed with this one, which tools have to find.
     */
    if ( cmpxchg(&exec_caller, NULL, current) )
    {
        lu_report_begin(XEN_LIVE_UPDATE_OP_exec);
        return lu_report_end(lu_error(-EBUSY, NULL,
                                      "exec: another one is under way"));
    }

    /* An earlier one may have ended between two tries. */
    lu_again(0);
    get_knownalive_domain(current->domain);
    vcpu_pause_nosync(current);
    tasklet_schedule_on_cpu(&exec_tasklet, 0);

    /* Overwritten by the tasklet. */
    return 0;
}

static long cf_check lu_check_tasklet(void *unused)
{
    long rc;

    /* Whoever holds it, on another CPU, will be through soon. */
    if ( test_and_set_bit(KEXEC_FLAG_IN_HYPERCALL, &kexec_flags) )
        return continue_hypercall_on_cpu(0, lu_check_tasklet, NULL);

    lu_report_begin(XEN_LIVE_UPDATE_OP_check);
    rc = lu_enabled() ? lu_check(lu_loaded_image())
                      : lu_error(-ENODEV, NULL, LU_NO_ZONE);
    lu_report_end(rc);

    clear_bit(KEXEC_FLAG_IN_HYPERCALL, &kexec_flags);

    return rc;
}

int lu_query_now(struct xen_live_update *op)
{
    int rc;

    if ( test_and_set_bit(KEXEC_FLAG_IN_HYPERCALL, &kexec_flags) )
        return -EBUSY;
    rc = lu_query(op, lu_loaded_image());
    clear_bit(KEXEC_FLAG_IN_HYPERCALL, &kexec_flags);

    return rc;
}

/* KEXEC_CMD_kexec_live_update; xsm_kexec() has been asked. */
static int lu_kexec_op(XEN_GUEST_HANDLE_PARAM(void) uarg)
{
    struct xen_live_update op;
    int rc = xsm_live_update(XSM_PRIV);

    if ( rc )
        return rc;

    if ( copy_from_guest(&op, uarg, 1) )
        return -EFAULT;

    if ( op.reserved )
        return -EINVAL;

    switch ( op.op )
    {
    case XEN_LIVE_UPDATE_check:
        return op.index ? -EINVAL
                        : continue_hypercall_on_cpu(0, lu_check_tasklet, NULL);

    case XEN_LIVE_UPDATE_abort:
        if ( op.index )
            return -EINVAL;
        return lu_loaded_image() ? lu_wait_abort() : -ENOENT;

    case XEN_LIVE_UPDATE_allow:
        return op.index ? -EINVAL : lu_loss_allow(&op.u.loss);

    default:
        rc = lu_query(&op, lu_loaded_image());
        if ( !rc && copy_to_guest(uarg, &op, 1) )
            rc = -EFAULT;
        return rc;
    }
}

static int cf_check check_kexec(const struct domain *d)
{
    int pos = !!test_bit(KEXEC_FLAG_DEFAULT_POS, &kexec_flags);
    int rc = 0, err;

    if ( test_bit(KEXEC_IMAGE_DEFAULT_BASE + pos, &kexec_flags) )
        rc = lu_loss(LU_LOSS_KEXEC_IMAGE, -EBUSY,
                     "kexec-image: an image loaded for kexec -e; unload it, and load it again afterwards");

    pos = !!test_bit(KEXEC_FLAG_CRASH_POS, &kexec_flags);

    if ( test_bit(KEXEC_IMAGE_CRASH_BASE + pos, &kexec_flags) )
    {
        err = lu_loss(LU_LOSS_CRASH_IMAGE, -EBUSY,
                      "crash-image: a loaded crash image, which holds addresses of this Xen; unload it, and load it again afterwards");
        rc = rc ?: err;
    }

    return rc;
}

const struct lu_kind lu_kind_kexec = {
    .name = "kexec",
    .check = check_kexec,
};
