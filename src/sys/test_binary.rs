//! The binary of the unit tests as the programs that it starts: what is executed once more through /proc/self/exe does its work there
//! before the harness looks at the arguments.

extern "C" fn before_main() {
    if crate::image::unpack_layer().is_some() {
        super::process::exit_now(0);
    }
}

// JUSTIFICATION: the harness has no other hook.
// SAFETY: the section is a list of functions of this type, which are called before main. The library's own entry, by which arguments are known,
// comes earlier: it has a priority.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;
