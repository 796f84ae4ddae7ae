/* cpu_check.c - what the CPU device refuses: operations whose views, matrices, caches and sizes do not fit together.
 *
 * One function per kind of operation; a size that overflows does not fit. Values (tokens of QS_OP_EMBED, floats) are not
 * looked at. Messages name the operation and the part: they are for whoever writes a forward pass.
 */
#include "base/mem.h"
#include "kernels/cpu_device.h"

static const char *const kind_names[QS_OP_KINDS] = {
    [QS_OP_EMBED] = "embed", [QS_OP_NORM] = "norm",       [QS_OP_LINEAR] = "linear",   [QS_OP_ROPE] = "rope",
    [QS_OP_ROTATE] = "rotate", [QS_OP_APPEND] = "append", [QS_OP_ATTEND] = "attend",   [QS_OP_GLU] = "glu",
    [QS_OP_ADD] = "add",     [QS_OP_SOFTCAP] = "softcap", [QS_OP_EXPERTS] = "experts", [QS_OP_TAP] = "tap",
};

static int bad(const struct qs_op *op, const char *what, struct qs_err *e)
{
    return qs_fail(e, QS_EINVAL, "operation %s: %s", kind_names[op->kind], what);
}

/* a * b, 0 where it overflows or is not sensible (then nothing fits). */
static size_t times(size_t a, size_t b)
{
    uint64_t p;
    return qs_mul_u64(a, b, &p) && p <= SIZE_MAX / 64 ? (size_t)p : 0;
}

/* n rows of `width` floats lie in the buffer and do not overlap each other. */
static bool view_fits(const struct qs_view *v, size_t n, size_t width)
{
    if (!v->buf || width == 0 || (n > 1 && v->stride < width))
        return false;
    const size_t room = v->buf->bytes / sizeof(float), rest = n > 1 ? times(n - 1, v->stride) : 0;
    if (n > 1 && rest == 0)
        return false;
    return v->at <= room && rest <= room - v->at && width <= room - v->at - rest;
}

static bool apart(const struct qs_view *a, size_t wa, const struct qs_view *b, size_t wb, size_t n)
{
    if (a->buf != b->buf)
        return true;
    const size_t end_a = a->at + (n - 1) * a->stride + wa, end_b = b->at + (n - 1) * b->stride + wb;
    if (n == 1 || end_a <= b->at || end_b <= a->at)
        return end_a <= b->at || end_b <= a->at;
    if (a->stride != b->stride) /* rows may still interleave, but nobody needs that */
        return false;
    const size_t step = a->stride, from_a = a->at % step, from_b = b->at % step;
    const size_t shift = from_b >= from_a ? from_b - from_a : from_b + step - from_a; /* of b's rows within a's stride */
    return shift >= wa && step - shift >= wb;
}

static int check_mat(const struct qs_op *op, const struct qs_mat *m, struct qs_err *e)
{
    if (!m->format || m->rows == 0 || m->cols == 0 || m->stack == 0)
        return bad(op, "a matrix without format, rows or columns", e);
    if (!qs_format_ops(m->format->id) || !qs_format_ops(m->format->id)->decode)
        return qs_fail(e, QS_EUNSUPPORTED, "operation %s: weights of type %s cannot be used", kind_names[op->kind],
                       m->format->name);
    if (m->cols % m->format->block != 0)
        return bad(op, "columns of a matrix that are no multiple of the type's block", e);
    if (times(times(m->rows, m->cols), times(m->stack, 8)) == 0)
        return bad(op, "a matrix without end", e);
    for (size_t i = 0; i < m->format->n_components; i++) {
        if (!m->parts.p[i])
            return bad(op, "a matrix without data", e);
        if (m->format->block > 1 && m->format->component[i].bytes_per_block % 2 == 0 && (uintptr_t)m->parts.p[i] % 2 != 0)
            return bad(op, "blocks at an odd address", e);
    }
    return QS_OK;
}

static bool cache_fits(const struct qs_cache *k, size_t heads, size_t dim, size_t end, bool *known)
{
    const struct qs_format *f = qs_format_by_id(k->type);
    const size_t unit = k->type == QS_F32 ? 4 : 2;
    *known = k->type == QS_F32 || k->type == QS_F16 || k->type == QS_Q8_0 || k->type == QS_Q4_0;
    if (!*known || !k->buf || dim == 0 || dim % f->block != 0 || times(heads, dim) == 0)
        return false;
    if (k->at % unit != 0 || k->row_bytes % unit != 0 || qs_format_row_bytes(f, heads * dim) > k->row_bytes)
        return false;
    const size_t all = times(end, k->row_bytes);
    return all != 0 && k->at <= k->buf->bytes && all <= k->buf->bytes - k->at;
}

static int check_caches(const struct qs_op *op, const struct qs_cache *kc, const struct qs_cache *vc, size_t n_kv, size_t dk,
                        size_t dv, size_t pos, struct qs_err *e)
{
    bool known_k, known_v;
    const bool fits_k = cache_fits(kc, n_kv, dk, pos + op->n, &known_k);
    const bool fits_v = cache_fits(vc, n_kv, dv, pos + op->n, &known_v);
    if (!known_k || !known_v)
        return qs_fail(e, QS_EUNSUPPORTED, "operation %s: a cache of type %s (F32, F16, Q8_0, Q4_0 can be)",
                       kind_names[op->kind], qs_type_name(known_k ? vc->type : kc->type));
    return pos > SIZE_MAX / 2 || !fits_k || !fits_v ? bad(op, "rows that do not fit the cache", e) : QS_OK;
}

static int check_embed(const struct qs_op *op, struct qs_err *e)
{
    int rc = check_mat(op, &op->u.embed.mat, e);
    if (rc != QS_OK)
        return rc;
    if (!op->u.embed.tokens || op->u.embed.mat.stack != 1)
        return bad(op, "no tokens, or a stack", e);
    return view_fits(&op->u.embed.out, op->n, op->u.embed.mat.cols) ? QS_OK : bad(op, "output", e);
}

static int check_norm(const struct qs_op *op, struct qs_err *e)
{
    const size_t width = times(op->u.norm.groups, op->u.norm.dim);
    if (op->u.norm.kind != QS_NORM_RMS && op->u.norm.kind != QS_NORM_LAYER)
        return bad(op, "unknown kind", e);
    if (!view_fits(&op->u.norm.in, op->n, width) || !view_fits(&op->u.norm.out, op->n, width))
        return bad(op, "input or output", e);
    const bool same = op->u.norm.in.buf == op->u.norm.out.buf && op->u.norm.in.at == op->u.norm.out.at &&
                      (op->n == 1 || op->u.norm.in.stride == op->u.norm.out.stride);
    if (!same && !apart(&op->u.norm.in, width, &op->u.norm.out, width, op->n))
        return bad(op, "output lies across the input", e);
    return QS_OK;
}

static bool precision_known(enum qs_precision p) { return p == QS_EXACT || p == QS_FAST; }

static int check_linear(const struct qs_op *op, struct qs_err *e)
{
    const size_t n_mats = op->u.linear.n_mats;
    if (n_mats < 1 || n_mats > QS_LINEAR_MAX || !precision_known(op->u.linear.precision))
        return bad(op, "number of matrices or precision", e);
    const size_t cols = op->u.linear.mat[0].cols;
    for (size_t i = 0; i < n_mats; i++) {
        const struct qs_mat *m = &op->u.linear.mat[i];
        int rc = check_mat(op, m, e);
        if (rc != QS_OK)
            return rc;
        if (m->cols != cols || m->stack != 1)
            return bad(op, "matrices of different width, or a stack", e);
        if (!view_fits(&op->u.linear.in, op->n, cols) || !view_fits(&op->u.linear.out[i], op->n, m->rows))
            return bad(op, "input or output", e);
        if (!apart(&op->u.linear.in, cols, &op->u.linear.out[i], m->rows, op->n))
            return bad(op, "output overlaps the input", e);
        for (size_t k = 0; k < i; k++)
            if (!apart(&op->u.linear.out[k], op->u.linear.mat[k].rows, &op->u.linear.out[i], m->rows, op->n))
                return bad(op, "outputs overlap", e);
    }
    return QS_OK;
}

static int check_rope(const struct qs_op *op, struct qs_err *e)
{
    if (op->u.rope.kind != QS_ROPE_NORM && op->u.rope.kind != QS_ROPE_NEOX)
        return bad(op, "unknown kind", e);
    if (op->u.rope.n_rot == 0 || op->u.rope.n_rot % 2 != 0 || op->u.rope.n_rot > op->u.rope.dim)
        return bad(op, "rotated part", e);
    if (!view_fits(&op->u.rope.x, op->n, times(op->u.rope.heads, op->u.rope.dim)) ||
        !view_fits(&op->u.rope.angle, op->n, op->u.rope.n_rot))
        return bad(op, "heads or angles", e);
    return QS_OK;
}

static int check_rotate(const struct qs_op *op, struct qs_err *e)
{
    const size_t block = op->u.rotate.block;
    if (block == 0 || (block & (block - 1)) != 0 || op->u.rotate.dim % block != 0)
        return bad(op, "block", e);
    return view_fits(&op->u.rotate.x, op->n, times(op->u.rotate.heads, op->u.rotate.dim)) ? QS_OK : bad(op, "heads", e);
}

static int check_append(const struct qs_op *op, struct qs_err *e)
{
    if (!view_fits(&op->u.append.k, op->n, times(op->u.append.n_kv, op->u.append.dk)) ||
        !view_fits(&op->u.append.v, op->n, times(op->u.append.n_kv, op->u.append.dv)))
        return bad(op, "keys or values", e);
    return check_caches(op, &op->u.append.kc, &op->u.append.vc, op->u.append.n_kv, op->u.append.dk, op->u.append.dv,
                        op->u.append.pos, e);
}

static int check_attend(const struct qs_op *op, struct qs_err *e)
{
    const size_t heads = op->u.attend.n_head, n_kv = op->u.attend.n_kv;
    if (n_kv == 0 || heads == 0 || heads % n_kv != 0)
        return bad(op, "heads that are no multiple of those with keys", e);
    if (!view_fits(&op->u.attend.q, op->n, times(heads, op->u.attend.dk)) ||
        !view_fits(&op->u.attend.out, op->n, times(heads, op->u.attend.dv)))
        return bad(op, "queries or output", e);
    if (!apart(&op->u.attend.q, heads * op->u.attend.dk, &op->u.attend.out, heads * op->u.attend.dv, op->n))
        return bad(op, "output overlaps the queries", e);
    return check_caches(op, &op->u.attend.kc, &op->u.attend.vc, n_kv, op->u.attend.dk, op->u.attend.dv, op->u.attend.pos, e);
}

static int check_glu(const struct qs_op *op, struct qs_err *e)
{
    const size_t n = op->u.glu.cols;
    if ((unsigned)op->u.glu.kind > QS_GLU_OAI)
        return bad(op, "unknown kind", e);
    if (!view_fits(&op->u.glu.gate, op->n, n) || !view_fits(&op->u.glu.up, op->n, n) || !view_fits(&op->u.glu.out, op->n, n))
        return bad(op, "input or output", e);
    return QS_OK;
}

static int check_add(const struct qs_op *op, struct qs_err *e)
{
    if (!view_fits(&op->u.add.x, op->n, op->u.add.cols) || !view_fits(&op->u.add.y, op->n, op->u.add.cols))
        return bad(op, "terms", e);
    return !op->u.add.gate.buf || view_fits(&op->u.add.gate, op->n, 1) ? QS_OK : bad(op, "gate", e);
}

static int check_softcap(const struct qs_op *op, struct qs_err *e)
{
    return view_fits(&op->u.softcap.x, op->n, op->u.softcap.cols) ? QS_OK : bad(op, "input", e);
}

static bool shape_is(const struct qs_mat *m, size_t rows, size_t cols, size_t stack)
{
    return m->rows == rows && m->cols == cols && m->stack == stack;
}

static bool routes_fit(const struct qs_tap *t, size_t cols)
{
    return !t || (t->kind == QS_TAP_ROUTES && t->cols == cols && (t->max_rows == 0 || (t->pair_row && t->pair_expert)));
}

static int check_experts(const struct qs_op *op, struct qs_err *e)
{
    const size_t n = op->u.experts.n_expert, used = op->u.experts.n_used, cols = op->u.experts.cols, ff = op->u.experts.ff;
    const bool fused = !op->u.experts.gate.parts.p[0];
    const struct qs_mat *mats[] = { &op->u.experts.router, &op->u.experts.up, &op->u.experts.down, &op->u.experts.gate };
    if (n == 0 || n > 65536 || used == 0 || used > n || ff == 0 || ff > SIZE_MAX / 1024)
        return bad(op, "number of experts", e);
    if (used > QS_EXPERTS_USED_MAX)
        return qs_fail(e, QS_EUNSUPPORTED, "%zu experts for one token are too many (at most %d)", used, QS_EXPERTS_USED_MAX);
    if (!precision_known(op->u.experts.precision) || (unsigned)op->u.experts.glu > QS_GLU_OAI)
        return bad(op, "unknown kind", e);
    for (int i = 0; i < (fused ? 3 : 4); i++) {
        int rc = check_mat(op, mats[i], e);
        if (rc != QS_OK)
            return rc;
    }
    if (!shape_is(mats[0], n, cols, 1) || !shape_is(mats[1], fused ? 2 * ff : ff, cols, n) || !shape_is(mats[2], cols, ff, n) ||
        (!fused && !shape_is(mats[3], ff, cols, n)))
        return bad(op, "shapes of the matrices", e);
    if (fused && op->u.experts.gate_bias)
        return bad(op, "a bias of the gate, which is part of the other matrix", e);
    if (!view_fits(&op->u.experts.in, op->n, cols) || !view_fits(&op->u.experts.out, op->n, cols))
        return bad(op, "input or output", e);
    if (!routes_fit(op->u.experts.tap_in, cols) || !routes_fit(op->u.experts.tap_down, ff))
        return bad(op, "a tap of another kind or width, or without room", e);
    return apart(&op->u.experts.in, cols, &op->u.experts.out, cols, op->n) ? QS_OK : bad(op, "output overlaps the input", e);
}

static int check_tap(const struct qs_op *op, struct qs_err *e)
{
    const struct qs_tap *t = op->u.tap.tap;
    if (!t || t->cols != op->u.tap.cols || !view_fits(&op->u.tap.in, op->n, op->u.tap.cols))
        return bad(op, "input", e);
    switch (t->kind) {
    case QS_TAP_SUMSQ: return t->sum ? QS_OK : bad(op, "no room for sums", e);
    case QS_TAP_GRAM: return t->gram ? QS_OK : bad(op, "no room for a Gram matrix", e);
    case QS_TAP_ROWS: return t->rows || t->max_rows == 0 ? QS_OK : bad(op, "no room for rows", e);
    case QS_TAP_FINITE: return QS_OK;
    case QS_TAP_ROUTES: return bad(op, "only experts have routes", e);
    }
    return bad(op, "unknown kind", e);
}

int qs_cpu_check(const struct qs_op *op, struct qs_err *e)
{
    static int (*const checks[QS_OP_KINDS])(const struct qs_op *op, struct qs_err *e) = {
        [QS_OP_EMBED] = check_embed,   [QS_OP_NORM] = check_norm,     [QS_OP_LINEAR] = check_linear,
        [QS_OP_ROPE] = check_rope,     [QS_OP_ROTATE] = check_rotate, [QS_OP_APPEND] = check_append,
        [QS_OP_ATTEND] = check_attend, [QS_OP_GLU] = check_glu,       [QS_OP_ADD] = check_add,
        [QS_OP_SOFTCAP] = check_softcap, [QS_OP_EXPERTS] = check_experts, [QS_OP_TAP] = check_tap,
    };
    if ((unsigned)op->kind >= QS_OP_KINDS)
        return qs_fail(e, QS_EUNSUPPORTED, "operation %d is unknown", (int)op->kind);
    if (op->n == 0 || op->n > SIZE_MAX / 1024 / 1024)
        return bad(op, "number of tokens", e);
    return checks[op->kind](op, e);
}
