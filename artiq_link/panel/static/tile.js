/**
 * The lab's own tiles, by the names of their instruments: none. A server that is given a file of
 * the lab's (`panel_tile`) serves that in place of this one.
 */

export default {};
