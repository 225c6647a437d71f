//! Certificates: more than two thirds of a set have signed one block.

use althing_types::{Certificate, Eip712, Signatures, ValidatorSet, VoteKind};

use crate::LightError;

/// Verifies a certificate under the set that decided its height; gives the power that signed.
///
/// Signers are distinct members in ascending order, every signature verifies and is low in s.
///
/// # Errors
///
/// [`LightError`], the first fault.
pub fn verify_certificate(
    certificate: &Certificate,
    set: &ValidatorSet,
    eip712: &Eip712,
    signatures: &dyn Signatures,
) -> Result<u64, LightError> {
    let Certificate { height, round, block, signatures: signed } = certificate;
    // What costs nothing is checked first: no signature is verified for a certificate without a quorum.
    let (mut power, mut previous) = (0_u64, None);
    for commit in signed {
        let signer = commit.validator;
        let member = set.get(&signer).filter(|_| previous < Some(signer));
        let member = member.ok_or(LightError::BadSigner { signer })?;
        power = power.saturating_add(member.power);
        previous = Some(signer);
    }
    let total = set.total_power();
    if u128::from(power).saturating_mul(3) <= u128::from(total).saturating_mul(2) {
        return Err(LightError::NoQuorum { signed: power, total });
    }
    // All of them sign one digest.
    let digest = eip712.vote(VoteKind::Precommit, *height, *round, Some(*block));
    for commit in signed {
        let signer = commit.validator;
        let member = set.get(&signer).ok_or(LightError::BadSigner { signer })?;
        let verifies = commit.signature.is_low_s()
            && signatures.verifies(&digest, &commit.signature, &member.public_key);
        if !verifies {
            return Err(LightError::BadSignature { signer });
        }
    }
    Ok(power)
}
