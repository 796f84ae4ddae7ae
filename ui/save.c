/* save.c - writes what is seen. The frame is drawn anew, without what was typed to ask for this. */
#include "ui/save.h"

#include <string.h>

#include "base/file.h"
#include "ui/app_internal.h"

static void as_svg(const struct qs_app *a, const struct qs_cells *c, struct qs_str *out)
{
    qs_cells_svg(c, a->theme.ink, a->theme.paper, out);
}

static void as_text(const struct qs_app *a, const struct qs_cells *c, struct qs_str *out)
{
    (void)a;
    qs_cells_text(c, out);
}
static void as_ansi(const struct qs_app *a, const struct qs_cells *c, struct qs_str *out)
{
    (void)a;
    qs_cells_ansi(c, out);
}
static void as_dump(const struct qs_app *a, const struct qs_cells *c, struct qs_str *out)
{
    (void)a;
    qs_cells_dump(c, out);
}

static const struct {
    const char *ending;
    void (*write)(const struct qs_app *, const struct qs_cells *, struct qs_str *);
} forms[] = {
    { ".txt", as_text },
    { ".ans", as_ansi },
    { ".svg", as_svg },
    { ".cells", as_dump },
};

int qs_save_screen(struct qs_app *a, const char *path, bool overwrite, struct qs_err *e)
{
    const char *dot = strrchr(path, '.');
    const size_t n = sizeof forms / sizeof *forms;
    size_t form = 0;
    while (form < n && (!dot || strcmp(dot, forms[form].ending) != 0))
        form++;
    if (form == n)
        return qs_fail(e, QS_EINVAL, "%s: the name has to end in .txt, .ans or .svg", path);
    struct qs_cells cells = QS_CELLS_INIT;
    struct qs_str text = QS_STR_INIT;
    int row, col;
    int rc = qs_cells_resize(&cells, a->rows, a->cols, e);
    if (!rc) {
        qs_app_draw(a, &cells, &row, &col);
        forms[form].write(a, &cells, &text);
        rc = text.failed ? qs_fail_mem(e, text.len, "a picture of the screen")
                         : qs_file_write_atomic(path, text.data, text.len, overwrite, e);
    }
    qs_cells_free(&cells);
    qs_str_free(&text);
    a->dirty = true;
    return rc;
}
