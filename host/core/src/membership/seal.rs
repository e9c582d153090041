//! The sealed envelope of every datagram between nodes: without the key a datagram can be neither read nor created.
//! Must not know the content.
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use rand::Rng;
use rand::rngs::ChaCha12Rng;

use super::DropReason;

/// Magic number that follows the version byte in every datagram of this protocol.
pub const MAGIC: [u8; 4] = *b"OTRG";
/// Version byte and magic number, sent in the clear and authenticated as associated data.
const HEADER: [u8; 5] = [1, MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3]];
/// Length of a nonce. 192 random bits are safe under one key without a counter that would have to survive restarts
/// (XChaCha20).
const NONCE: usize = 24;
const TAG: usize = 16;

/// Length of the largest plaintext, which when sealed still fits the IPv6 minimum MTU of 1280 octets with IPv6 and UDP
/// headers.
pub(super) const MAX_PLAINTEXT: usize = 1280 - 40 - 8 - HEADER.len() - NONCE - TAG;

pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    nonces: ChaCha12Rng,
}

impl Seal {
    pub fn new(key: [u8; 32], nonces: ChaCha12Rng) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&key.into()), nonces }
    }

    /// Seals a plaintext. Returns `None` only if the plaintext is longer than the cipher accepts, 256 GiB.
    pub fn close(&mut self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        self.nonces.fill_bytes(&mut nonce);
        let payload = Payload { msg: plaintext, aad: &HEADER };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).ok()?;
        Some([&HEADER[..], &nonce, &sealed].concat())
    }

    pub fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
        let (header, rest) = datagram.split_at_checked(HEADER.len()).ok_or(DropReason::TooShort)?;
        if header[1..] != HEADER[1..] {
            return Err(DropReason::Foreign);
        }
        if header[0] != HEADER[0] {
            return Err(DropReason::OtherVersion);
        }
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(DropReason::TooShort)?;
        self.cipher
            .decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &HEADER })
            .map_err(|_| DropReason::WrongKey)
    }
}
