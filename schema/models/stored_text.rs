//! Enumerations kept as text in a column.

/// Gives an enum its stored texts, and diesel's traits for a `Text` column.
///
/// The texts are stored data: they are never changed or reused. The migrations check the same list.
macro_rules! stored_as_text {
    ($type:ty { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl ::diesel::expression::AsExpression<::diesel::sql_types::Text> for $type {
            type Expression = <&'static str as ::diesel::expression::AsExpression<::diesel::sql_types::Text>>::Expression;

            fn as_expression(self) -> Self::Expression {
                ::diesel::expression::AsExpression::<::diesel::sql_types::Text>::as_expression(self.as_text())
            }
        }

        impl ::diesel::expression::AsExpression<::diesel::sql_types::Text> for &$type {
            type Expression = <&'static str as ::diesel::expression::AsExpression<::diesel::sql_types::Text>>::Expression;

            fn as_expression(self) -> Self::Expression {
                (*self).as_expression()
            }
        }

        impl<DB: ::diesel::backend::Backend> ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB> for $type
        where
            String: ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> ::diesel::deserialize::Result<Self> {
                match <String as ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB>>::from_sql(bytes)?.as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(concat!("a text that is no ", stringify!($type)).into()),
                }
            }
        }

        impl<DB: ::diesel::backend::Backend> ::diesel::deserialize::Queryable<::diesel::sql_types::Text, DB> for $type
        where
            Self: ::diesel::deserialize::FromSql<::diesel::sql_types::Text, DB>,
        {
            type Row = Self;

            fn build(row: Self) -> ::diesel::deserialize::Result<Self> {
                Ok(row)
            }
        }
    };
}
pub(crate) use stored_as_text;

use crate::messages::{BaseV1, MediumV1, ProductV1};

stored_as_text!(ProductV1 {
    AdvancePayment = "advance_payment",
    InterimAdvancePayment = "interim_advance_payment",
    Performance = "performance",
});

stored_as_text!(BaseV1 { ContractPrice = "contract_price", ThisYearBase = "this_year_base" });
stored_as_text!(MediumV1 { Electronic = "electronic", Paper = "paper" });
