# The theme files as one C table, in the order they are named in: awk -f embed.awk NAME.theme ...
function finish() { if (open) print "    },"; open = 0 }
BEGIN {
    print "/* Made from the theme files by embed.awk. */"
    print "#include \"ui/theme_internal.h\"\n"
    print "const struct qs_theme_file qs_theme_builtin[] = {"
}
FNR == 1 {
    finish()
    name = FILENAME; sub(/.*\//, "", name); sub(/\.theme$/, "", name)
    print "    { \"" name "\","
    open = 1
}
# Themes need neither, and awks differ in how they would be written.
/[\\"]/ { print FILENAME ":" FNR ": a theme file has no backslashes and quotes" > "/dev/stderr"; bad = 1; exit 1 }
{ print "        \"" $0 "\\n\"" }
END {
    if (bad) exit 1
    finish()
    print "    { 0, 0 },\n};"
}
