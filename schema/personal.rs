//! Types that hold personal data print none of it.

/// Gives types a `Debug` that writes their name and nothing they hold, so that a log line or a panic cannot quote a name, an
/// address or a mail address by formatting what contains it.
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
