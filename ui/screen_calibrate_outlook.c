/* screen_calibrate_outlook.c - what a calibration would take and of what its text is mixed, before it starts. */
#include "base/file.h"
#include "base/text.h"
#include "core/model/need.h"
#include "ui/calibrate.h"

static void add_need(struct qs_str *out, const struct qs_calibrate_need *n)
{
    const struct qs_machine_memory mem = qs_machine_memory();
    char time[32], memory[24], spill[24], disk[24], have[24];
    qs_str_addf(out, "It takes about %s, %s of memory", qs_fmt_seconds(time, sizeof time, n->seconds),
                qs_fmt_bytes(memory, sizeof memory, n->memory));
    if (mem.available)
        qs_str_addf(out, " (%s are free)", qs_fmt_bytes(have, sizeof have, mem.available));
    if (n->spill)
        qs_str_addf(out, ", %s of scratch files", qs_fmt_bytes(spill, sizeof spill, n->spill));
    if (n->disk)
        qs_str_addf(out, ", and leaves %s", qs_fmt_bytes(disk, sizeof disk, n->disk));
    qs_str_add(out, ".\n");
}

static void add_mix(struct qs_app *a, struct qs_str *out, const struct qs_calib_told *t)
{
    char share[QS_FMT_MAX];
    if (!t->n_mix)
        return;
    qs_str_addf(out, "%zu windows of %zu tokens to fit, %zu held out:\n", t->n_fit, t->n_ctx, t->n_held);
    for (size_t i = 0; i < t->n_mix; i++) {
        const struct qs_corpus_mix *m = &t->mix[i];
        qs_str_addf(out, "  %s  ", qs_fmt_percent(share, sizeof share, m->share, 0));
        qs_text_clean(out, qs_path_base(m->path), qs_app_ascii(a));
        qs_str_addf(out, " (%s), %zu windows out of %llu tokens", m->kind, m->windows, (unsigned long long)m->tokens);
        if (m->bad_lines)
            qs_str_addf(out, ", %llu lines left out, the first is line %llu", (unsigned long long)m->bad_lines,
                        (unsigned long long)m->first_bad);
        qs_str_addc(out, '\n');
    }
}

int calibrate_outlook_draw(struct qs_app *a, const struct qs_canvas *c)
{
    const struct calibrate *v = calibrate_of(a);
    struct qs_calib_outlook o;
    struct qs_str text = QS_STR_INIT;
    int y = 0;
    qs_workbench_calib_outlook(qs_app_bench(a), &o);
    if (qs_workbench_calib_stopped(qs_app_bench(a)))
        y += qs_draw_wrapped(c, y, 0, 2, qs_app_look(a, QS_LOOK_WARNING), CALIBRATE_STOPPED);
    if (qs_workbench_calib_elsewhere(qs_app_bench(a)))
        y += qs_draw_wrapped(c, y, 0, 2, qs_app_look(a, QS_LOOK_WARNING),
                             "Another window or process calibrates this model: its state is shown there.");
    if (!qs_app_doc(a))
        qs_str_add(&text, "No model is open: o opens one.\n");
    else if (!v->n_text && !v->file[1])
        qs_str_add(&text,
                   "t adds text to learn from; at least 64 windows of 512 tokens, of more than one kind, make it "
                   "useful.\n");
    else if (o.looking || v->ask)
        qs_str_add(&text, "reading the text ...\n");
    else if (o.err.code)
        qs_text_clean(&text, o.err.msg, qs_app_ascii(a));
    const bool known = o.told && !o.looking && !v->ask && (v->n_text || v->file[1]);
    if (known)
        add_need(&text, &o.told->need);
    if (!text.failed && text.len)
        y += qs_draw_wrapped(c, y, 0, 2, qs_app_look(a, o.err.code ? QS_LOOK_ERROR : QS_LOOK_TEXT), text.data);
    qs_str_clear(&text);
    if (known)
        add_mix(a, &text, o.told);
    if (!text.failed && text.len)
        y += qs_draw_wrapped(c, y, 0, 4, qs_app_look(a, QS_LOOK_MUTED), text.data);
    for (size_t i = 0; known && i < o.told->n_warnings; i++)
        y += qs_draw_wrapped(c, y, 0, 2, qs_app_look(a, QS_LOOK_WARNING), o.told->warning[i]);
    qs_str_free(&text);
    return y;
}
