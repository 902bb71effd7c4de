//! Work that one process at a time drives under a lease: runs and replays.
//!
//! A driver renews its lease while it works. When it exits, the lease ends, and another process continues.

/// Gives the module of such a table its leases, pauses, ends and lists.
/// `takeovers` counts the drivers.
macro_rules! leased {
    ($table:ident: $row:ident, $one:literal, $many:literal $(, $takeovers:ident)?) => {
        impl State {
            pub fn is_over(self) -> bool {
                !matches!(self, Self::Running | Self::Paused)
            }
        }

        impl $row {
            /// Whether the lease of its driver is valid.
            pub fn is_driven(&self, now: NaiveDateTime) -> bool {
                self.driver.is_some() && self.leased_until.is_some_and(|until| until >= now)
            }
        }

        /// Takes or renews the lease until `until`.
        /// `None` when it is not running, or another process has it.
        pub fn lease(
            db: &mut Connection,
            id: &str,
            driver: &str,
            now: NaiveDateTime,
            until: NaiveDateTime,
        ) -> Result<Option<$row>> {
            let running = $table::table.filter($table::id.eq(id)).filter($table::state.eq(State::Running));
            let renewed = $table::leased_until.eq(micros(until));
            let own = query!(db, concat!("renew the lease of a ", $one), c => {
                let own = running.filter($table::driver.eq(driver));
                diesel::update(own).set(renewed).returning($row::as_returning()).get_result(c).optional()
            })?;
            if own.is_some() {
                return Ok(own);
            }
            query!(db, concat!("lease a ", $one), c => {
                let free = running.filter($table::driver.is_null().or($table::leased_until.lt(micros(now))));
                let taken = ($table::driver.eq(driver), renewed, $($table::$takeovers.eq($table::$takeovers + 1_i64))?);
                diesel::update(free).set(taken).returning($row::as_returning()).get_result(c).optional()
            })
        }

        pub fn unlease(db: &mut Connection, id: &str, driver: &str) -> Result<()> {
            query!(db, concat!("end the lease of a ", $one), c => {
                diesel::update($table::table.filter($table::id.eq(id)).filter($table::driver.eq(driver)))
                    .set(($table::driver.eq(None::<String>), $table::leased_until.eq(None::<NaiveDateTime>)))
                    .execute(c)
            })
            .map(drop)
        }

        /// Pauses a running one or resumes a paused one; `false` when nothing changed.
        pub fn set_paused(db: &mut Connection, id: &str, paused: bool, note: Option<&str>) -> Result<bool> {
            let (from, to) = if paused { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
            query!(db, concat!("pause or resume a ", $one), c => {
                diesel::update($table::table.filter($table::id.eq(id)).filter($table::state.eq(from)))
                    .set(($table::state.eq(to), $table::note.eq(note)))
                    .execute(c)
            })
            .map(|changed| changed > 0)
        }

        /// Sets the final state and ends the lease; `false` when it was over already.
        fn end(
            db: &mut Connection,
            id: &str,
            state: State,
            note: Option<&str>,
            now: NaiveDateTime,
        ) -> Result<bool> {
            query!(db, concat!("finish a ", $one), c => {
                let open = $table::state.eq_any([State::Running.as_text(), State::Paused.as_text()]);
                diesel::update($table::table.filter($table::id.eq(id)).filter(open))
                    .set((
                        $table::state.eq(state),
                        $table::note.eq(note),
                        $table::finished_at.eq(micros(now)),
                        $table::driver.eq(None::<String>),
                        $table::leased_until.eq(None::<NaiveDateTime>),
                    ))
                    .execute(c)
            })
            .map(|changed| changed > 0)
        }

        pub fn by_id(db: &mut Connection, id: &str) -> Result<Option<$row>> {
            query!(db, concat!("read ", $many), c => {
                $table::table.filter($table::id.eq(id)).select($row::as_select()).first(c).optional()
            })
        }

        /// At most two identifiers: enough to detect an ambiguous prefix.
        pub fn by_prefix(db: &mut Connection, prefix: &str) -> Result<Vec<String>> {
            $crate::models::with_prefix!(db, concat!("read ", $many), $table::id, prefix)
        }

        pub fn count(db: &mut Connection) -> Result<i64> {
            query!(db, concat!("count ", $many), c => $table::table.count().get_result(c))
        }

        /// The latest first.
        /// `after`: creation time and identifier of the last row of the page before.
        pub fn list(
            db: &mut Connection,
            limit: i64,
            after: Option<(NaiveDateTime, &str)>,
        ) -> Result<Vec<$row>> {
            query!(db, concat!("read ", $many), c: B => {
                let mut query = $table::table.select($row::as_select()).into_boxed::<B>();
                if let Some((at, id)) = after {
                    let is_later = $table::created_at.lt(at).or($table::id.gt(id));
                    query = query.filter($table::created_at.le(at)).filter(is_later);
                }
                query.order(($table::created_at.desc(), $table::id)).limit(limit).load(c)
            })
        }
    };
}
pub(crate) use leased;
