//! Pure: from risk to warning levels. Each level is raised at most once and never taken back: a callee who was warned must
//! not hear that all is well again because the caller turned friendly.

use serde::{Deserialize, Serialize};

use super::Level;

/// When which level is reached, and how much may go unheard. All values lie in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Risk of a notice.
    pub notice: f32,
    /// Risk of a caution.
    pub caution: f32,
    /// Risk of an alarm.
    pub alarm: f32,
    /// Share of the speech that may go unheard before a call without findings counts as unscreened.
    pub max_unheard: f32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { notice: 0.3, caution: 0.7, alarm: 0.8, max_unheard: 0.2 }
    }
}

/// Why thresholds make no sense.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A value is no share.
    #[error("`screening.{0}` is {1}; write a number between 0 and 1")]
    Range(&'static str, f32),
    /// The levels stand in the wrong order.
    #[error("`screening.notice` ({0}), `caution` ({1}) and `alarm` ({2}) must rise in that order")]
    Order(f32, f32, f32),
}

impl Policy {
    /// Refuses thresholds out of range or out of order.
    pub fn validated(self) -> Result<Self, PolicyError> {
        let values = [
            ("notice", self.notice),
            ("caution", self.caution),
            ("alarm", self.alarm),
            ("max_unheard", self.max_unheard),
        ];
        for (name, value) in values {
            if !(0.0..=1.0).contains(&value) {
                return Err(PolicyError::Range(name, value));
            }
        }
        if !(0.0 < self.notice && self.notice <= self.caution && self.caution <= self.alarm) {
            return Err(PolicyError::Order(self.notice, self.caution, self.alarm));
        }
        Ok(self)
    }

    /// The level that a risk stands for.
    pub fn level(&self, risk: f32) -> Option<Level> {
        if risk >= self.alarm {
            Some(Level::Alarm)
        } else if risk >= self.caution {
            Some(Level::Caution)
        } else if risk >= self.notice {
            Some(Level::Notice)
        } else {
            None
        }
    }
}

/// Remembers the highest level of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ratchet {
    reached: Option<Level>,
}

impl Ratchet {
    /// The level, if it is higher than every one before.
    pub fn raise(&mut self, level: Option<Level>) -> Option<Level> {
        let raised = level.filter(|level| Some(*level) > self.reached)?;
        self.reached = Some(raised);
        Some(raised)
    }

    /// The highest level so far.
    pub fn reached(&self) -> Option<Level> {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::screening::risk::CLAIMS_CAP;

    #[test]
    fn the_default_policy_is_valid_and_keeps_claims_to_a_notice() {
        assert_eq!(Policy::default().validated(), Ok(Policy::default()));
        assert_eq!(Policy::default().level(CLAIMS_CAP), Some(Level::Notice));
    }

    #[test]
    fn thresholds_out_of_order_or_range_are_refused_by_name() {
        let order = Policy { caution: 0.9, alarm: 0.8, ..Policy::default() };
        assert_eq!(order.validated(), Err(PolicyError::Order(0.3, 0.9, 0.8)));
        let range = Policy { alarm: 1.5, ..Policy::default() };
        assert_eq!(range.validated(), Err(PolicyError::Range("alarm", 1.5)));
        assert!(Policy { notice: f32::NAN, ..Policy::default() }.validated().is_err());
        assert!(Policy { notice: 0.0, ..Policy::default() }.validated().is_err());
    }

    proptest! {
        #[test]
        fn each_level_is_raised_once_and_only_upwards(risks in prop::collection::vec(0.0f32..=1.0, 0..60)) {
            let (policy, mut ratchet) = (Policy::default(), Ratchet::default());
            let raised: Vec<Level> = risks.iter().filter_map(|&risk| ratchet.raise(policy.level(risk))).collect();
            prop_assert!(raised.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(raised.last().copied(), ratchet.reached());
            let highest = risks.iter().copied().fold(0.0, f32::max);
            prop_assert_eq!(ratchet.reached(), policy.level(highest));
        }
    }
}
