dnl Macros of quantscape's configure.ac.

dnl QS_TRY_CFLAG(FLAG, VARIABLE, [IF-REFUSED]): append FLAG to VARIABLE when the compiler takes it without a warning.
dnl For -Wno-X the positive form is tried: compilers accept unknown -Wno- flags in silence.
AC_DEFUN([QS_TRY_CFLAG], [
    AS_VAR_PUSHDEF([qs_cache], [qs_cv_cflag_$1])
    AC_CACHE_CHECK([whether $CC accepts $1], [qs_cache], [
        qs_saved=$CFLAGS
        CFLAGS="$CFLAGS -Werror m4_bpatsubst([$1], [^-Wno-], [-W])"
        AC_COMPILE_IFELSE([AC_LANG_SOURCE([int qs_probe; int qs_get(void); int qs_get(void) { return qs_probe; }])],
            [AS_VAR_SET([qs_cache], [yes])], [AS_VAR_SET([qs_cache], [no])])
        CFLAGS=$qs_saved])
    AS_VAR_IF([qs_cache], [yes], [$2="$$2 $1"], [$3])
    AS_VAR_POPDEF([qs_cache])
])

dnl QS_SWITCH(NAME, HELP): --enable-NAME, default no; the shell variable enable_NAME is yes or no.
AC_DEFUN([QS_SWITCH], [
    AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [], [AS_TR_SH([enable_$1])=no])
    AS_CASE([$AS_TR_SH([enable_$1])], [yes|no], [],
        [AC_MSG_ERROR([--enable-$1 takes yes or no, not "$AS_TR_SH([enable_$1])"])])
])

dnl QS_LINKS(FLAGS, VARIABLE): VARIABLE=yes when a program compiled and linked with FLAGS comes out.
AC_DEFUN([QS_LINKS], [
    qs_saved=$CFLAGS
    CFLAGS="$CFLAGS $1"
    AC_MSG_CHECKING([whether $CC links with $1])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [$2=yes], [$2=no])
    AC_MSG_RESULT([$$2])
    CFLAGS=$qs_saved
])

dnl QS_SANITIZE(FLAGS, NAME): compile and link everything with FLAGS or stop.
AC_DEFUN([QS_SANITIZE], [
    QS_LINKS([$1], [qs_sanitizer_links])
    AS_IF([test "$qs_sanitizer_links" != yes],
        [AC_MSG_ERROR([$CC cannot link with $1: the run-time library of $2 is missing (Debian: part of gcc; for clang install libclang-rt-dev)])])
    QS_CFLAGS="$QS_CFLAGS $1"
])

dnl QS_ISA(NAME, HOST-CPUS, FLAGS, INCLUDES, BODY): conditional HAVE_NAME; flags in QS_NAME_CFLAGS, and QS_ISA_DEFINES
dnl gets -DQS_HAVE_NAME. The probe links real intrinsics: some compilers take the flag and lack the header. --with-isa may
dnl leave it out.
AC_DEFUN([QS_ISA], [
    qs_isa=no
    qs_isa_known="$qs_isa_known m4_tolower([$1])"
    AC_MSG_CHECKING([for $1 intrinsics])
    case " $qs_isa_wanted " in
    *" all "* | *" m4_tolower([$1]) "*) qs_cpu=$host_cpu ;;
    *) qs_cpu=left-out ;;
    esac
    case $qs_cpu in
    $2)
        qs_saved=$CFLAGS
        CFLAGS="$CFLAGS $3"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([$4], [$5])], [qs_isa=yes])
        CFLAGS=$qs_saved ;;
    esac
    AC_MSG_RESULT([$qs_isa])
    AS_IF([test "$qs_isa" = yes], [
        qs_levels="$qs_levels m4_tolower([$1])"
        QS_ISA_DEFINES="$QS_ISA_DEFINES -DQS_HAVE_$1"])
    AM_CONDITIONAL([HAVE_$1], [test "$qs_isa" = yes])
    AC_SUBST([QS_$1_CFLAGS])
    AC_SUBST([QS_ISA_DEFINES])
])

dnl QS_WITH_ISA: which instruction sets are compiled; QS_ISA_CHECK after the last of them refuses names that none has.
AC_DEFUN([QS_WITH_ISA], [
    AC_ARG_WITH([isa], [AS_HELP_STRING([--with-isa=LIST],
        [instruction sets to compile besides plain C, names with commas, those they build on included: all (default), none, avx2, avx512, neon ...])],
        [qs_isa_wanted=$(echo "$withval" | tr , ' ')], [qs_isa_wanted=all])
    case $qs_isa_wanted in yes) qs_isa_wanted=all ;; no) qs_isa_wanted=none ;; esac
    case " $qs_isa_wanted " in *" avx512bf16 "*) qs_isa_wanted="$qs_isa_wanted avx512" ;; esac
    case " $qs_isa_wanted " in *" avx512 "* | *" avxvnni "*) qs_isa_wanted="$qs_isa_wanted avx2" ;; esac
    qs_isa_known='all none'
])
AC_DEFUN([QS_ISA_CHECK], [
    for qs_i in $qs_isa_wanted; do
        case " $qs_isa_known " in
        *" $qs_i "*) ;;
        *) AC_MSG_ERROR([--with-isa: there is no instruction set "$qs_i" here; there are: $qs_isa_known]) ;;
        esac
    done
])

dnl QS_LIBRARY(PREFIX, PKG-CONFIG-NAME, DEBIAN, FEDORA, ARCH, BREW): PREFIX_CFLAGS and PREFIX_LIBS, or one more entry on the
dnl list of what is missing, which is reported once for all libraries.
AC_DEFUN([QS_LIBRARY], [
    PKG_CHECK_MODULES([$1], [$2], [], [
        qs_missing="$qs_missing $2"
        qs_missing_debian="$qs_missing_debian $3"
        qs_missing_fedora="$qs_missing_fedora $4"
        qs_missing_arch="$qs_missing_arch $5"
        qs_missing_brew="$qs_missing_brew $6"])
])

dnl QS_HOW_TO_INSTALL(DEBIAN, FEDORA, ARCH, BREW): one phrase with the four commands.
AC_DEFUN([QS_HOW_TO_INSTALL], [sudo apt-get install $1 | sudo dnf install $2 | sudo pacman -S $3 | brew install $4])
