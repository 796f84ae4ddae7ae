/* color.h - which colours a picture on standard output gets. */
#ifndef QS_SRC_COLOR_H
#define QS_SRC_COLOR_H

#include "core/report/report_map.h"
#include "src/verb.h"

/* Row for a verb's option table. */
#define QS_COLOR_OPTION                                                                                                \
    { .name = "color", .kind = QS_OPT_CHOICE, .arg = "WHEN", .choices = "auto always never",                           \
      .help = "colours; auto: on a terminal, unless NO_COLOR is set" }

enum qs_heat_color qs_cli_color(struct qs_cli *cli);

#endif
