//! `Debug` for types with personal data.

/// Gives types a `Debug` that writes only their name.
/// So no log line or panic quotes a name or an address.
macro_rules! prints_its_name_only {
    ($($type:ident),* $(,)?) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }
    )*};
}
pub(crate) use prints_its_name_only;
