//! Options: structs whose fields are public, with a setter for each.

/// Setters that are called as the fields that they set: of what may be missing, of values, and of what is off unless it is said.
macro_rules! setters {
    ($options:ident { $($maybe:ident: $of:ty,)* } { $($value:ident: $is:ty,)* } { $($flag:ident,)* }) => {
        impl $options {
            /// Nothing decided.
            pub fn new() -> $options {
                $options::default()
            }

            $(#[doc = concat!("Sets [`", stringify!($maybe), "`](", stringify!($options), "::", stringify!($maybe), ").")]
            #[must_use]
            pub fn $maybe(mut self, $maybe: impl Into<$of>) -> $options {
                self.$maybe = Some($maybe.into());
                self
            })*

            $(#[doc = concat!("Sets [`", stringify!($value), "`](", stringify!($options), "::", stringify!($value), ").")]
            #[must_use]
            pub fn $value(mut self, $value: impl Into<$is>) -> $options {
                self.$value = $value.into();
                self
            })*

            $(#[doc = concat!("Sets [`", stringify!($flag), "`](", stringify!($options), "::", stringify!($flag), ").")]
            #[must_use]
            pub fn $flag(mut self) -> $options {
                self.$flag = true;
                self
            })*
        }
    };
}
