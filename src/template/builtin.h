/* Templates that come with the program, by name. Private to this folder. */
#ifndef LRC_TEMPLATE_BUILTIN_H
#define LRC_TEMPLATE_BUILTIN_H

struct lrc_builtin {
    const char *name;
    const char *also; /* as Axolotl spells it; NULL: the same */
    const char *text;
};
extern const struct lrc_builtin lrc_builtin_all[]; /* ends with { 0 } */

#endif
