//! The stages of a tech-support-scam script: the labels an utterance can carry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an utterance does in the script. Several may hold at once, and none need to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Claims to be Microsoft, an ISP, a bank, an authority.
    Impersonation,
    /// A virus, a hacked line, a refund, an expired licence.
    ProblemClaim,
    /// Event viewer, Win+R, assoc, netstat, "see the red marks".
    ProofTheatre,
    /// A dictated website, AnyDesk and its kin, "read me the ID".
    RemoteAccess,
    /// Card, gift card, transfer, bank log-in "for the refund".
    Payment,
    /// One-time code, PIN, password, full card number.
    Credential,
    /// Line cut in 24 h, police, do not hang up, tell nobody.
    Pressure,
    /// Senior technician, level 5, refund department.
    Handover,
    /// Names the account, asks for nothing, says to call back on the published number.
    SafeConduct,
}

impl Stage {
    /// All stages in script order; the order of the classifier's outputs.
    pub const ALL: [Stage; 9] = [
        Stage::Impersonation,
        Stage::ProblemClaim,
        Stage::ProofTheatre,
        Stage::RemoteAccess,
        Stage::Payment,
        Stage::Credential,
        Stage::Pressure,
        Stage::Handover,
        Stage::SafeConduct,
    ];
}

/// Probability (0..=1) of each stage in one utterance, in the order of [`Stage::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StageScores(pub [f32; 9]);

impl StageScores {
    /// The probability of one stage.
    pub fn get(&self, stage: Stage) -> f32 {
        self.0[stage as usize]
    }

    /// Sets the probability of one stage.
    pub fn set(&mut self, stage: Stage, probability: f32) {
        self.0[stage as usize] = probability;
    }

    /// The scores by stage, rounded to three decimals for people and logs.
    pub fn to_map(&self) -> BTreeMap<Stage, f32> {
        Stage::ALL.iter().map(|&s| (s, (self.get(s) * 1000.0).round() / 1000.0)).collect()
    }
}
