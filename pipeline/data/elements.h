/* Chemical symbols, the one list of them. */
#ifndef EP_DATA_ELEMENTS_H
#define EP_DATA_ELEMENTS_H

/* "H" to "U" by atomic number, hydrogen at 0; NULL-terminated. */
extern const char *const ep_elements[];
/* The atomic number of a symbol ("Ti"); 0 if there is none. */
int ep_element_z(const char *symbol);
/* And back: NULL if there is none. */
const char *ep_element_symbol(int z);
#endif
