/* dot_super.c */
#include "kernels/level.h"
typedef int qs_unused_dot_super;
