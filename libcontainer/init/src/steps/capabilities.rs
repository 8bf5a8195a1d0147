//! Capability sets.
use crate::fault::{At, Fault, Result};
use crate::{Init, sys};
use rustix::io::Errno;
use step::Call;

const PR_CAPBSET_DROP: usize = 24;
const PR_SET_KEEPCAPS: usize = 8;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

pub(super) fn drop_bounding_set(keep: u64) -> Result {
    for capability in (0..64).filter(|capability| keep & 1 << capability == 0) {
        match sys::prctl(PR_CAPBSET_DROP, capability, 0) {
            // The first that the kernel does not know: there are no more.
            Err(Errno::INVAL) => break,
            // Not in the bounding set of a caller that may not change it either.
            dropped => dropped.at(Call::Bounding)?,
        };
    }
    Ok(())
}

/// `sets`: effective, permitted, inheritable. What the bounding set of the caller does not grant is dropped, as
/// the spec asks; anything else that differs afterwards is an error.
pub(super) fn set(init: &mut Init, sets: [u64; 3], ambient: u64) -> Result {
    let [effective, permitted, inheritable] = sets;
    let [_, available, _] = sys::capget().at(Call::Capget)?;
    let wanted = [effective & available, permitted & available, inheritable & available];
    sys::capset(wanted).at(Call::Capset)?;
    if sys::capget().at(Call::Capget)? != wanted {
        return Err(Fault::new(Call::Capget, Errno::PERM));
    }
    init.capabilities = wanted;
    // Cleared also when none is asked for: the caller's ambient set must not stay.
    sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0).at(Call::Ambient)?;
    let raisable = ambient & wanted[1] & wanted[2];
    for capability in (0..64).filter(|capability| raisable & 1 << capability != 0) {
        let raised = sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability);
        if raised.is_err() {
            init.detail.say(b"capability ").say_number(i64::try_from(capability).unwrap_or(0));
        }
        raised.at(Call::Ambient)?;
    }
    sys::prctl(PR_SET_KEEPCAPS, 0, 0).at(Call::Prctl).map(drop)
}

/// Under a filter: nothing but capset(2). Ambient capabilities are permitted and inheritable ones, so that none outlives this that
/// should not (capabilities(7)).
pub(super) fn keep(init: &mut Init, effective: u64, permitted: u64) -> Result {
    let [had_effective, had_permitted, inheritable] = init.capabilities;
    sys::capset([had_effective & effective, had_permitted & permitted, inheritable]).at(Call::Capset)
}
