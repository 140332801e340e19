#include "pipeline/data/elements.h"

#include <stddef.h>
#include <string.h>

const char *const ep_elements[] = {
    "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",  "Cl", "Ar", "K",  "Ca",
    "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr",
    "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd",
    "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  NULL};

enum { COUNT = sizeof ep_elements / sizeof *ep_elements - 1 };

int ep_element_z(const char *symbol)
{
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(ep_elements[i], symbol)) return i + 1;
    return 0;
}

const char *ep_element_symbol(int z)
{
    return z >= 1 && z <= COUNT ? ep_elements[z - 1] : NULL;
}
