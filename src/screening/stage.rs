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

    /// Whether it demands something of the callee. Topic is no evidence; demands are.
    pub fn is_demand(self) -> bool {
        match self {
            Stage::RemoteAccess | Stage::Credential | Stage::Payment | Stage::ProofTheatre | Stage::Pressure => true,
            Stage::ProblemClaim | Stage::Impersonation | Stage::Handover | Stage::SafeConduct => false,
        }
    }
}

/// What the classifier makes of one utterance; probabilities, 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Of each stage in this utterance, in the order of [`Stage::ALL`].
    pub stages: [f32; 9],
    /// That the call so far reads as a scam; a half says nothing.
    pub call: f32,
}

impl Default for Judgement {
    fn default() -> Self {
        Self { stages: [0.0; 9], call: 0.5 }
    }
}

impl Judgement {
    /// An utterance with these stages and no others, in an even tone.
    pub fn of(stages: &[(Stage, f32)]) -> Self {
        let mut judgement = Self::default();
        stages.iter().for_each(|&(stage, probability)| judgement.set(stage, probability));
        judgement
    }

    /// The probability of one stage.
    pub fn get(&self, stage: Stage) -> f32 {
        self.stages[stage as usize]
    }

    /// Sets the probability of one stage.
    pub fn set(&mut self, stage: Stage, probability: f32) {
        self.stages[stage as usize] = probability;
    }

    /// The stages by name, rounded to three decimals for people and logs.
    pub fn to_map(&self) -> BTreeMap<Stage, f32> {
        Stage::ALL.iter().map(|&s| (s, (self.get(s) * 1000.0).round() / 1000.0)).collect()
    }
}
