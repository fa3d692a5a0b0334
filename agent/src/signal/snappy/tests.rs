#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{Encoder, SnappyError, decode, merge};

/// Compressible and not, with repeats at every distance.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), 0usize..5000).prop_map(|(byte, len)| vec![byte; len]),
        (proptest::collection::vec(any::<u8>(), 1..40), 1usize..200)
            .prop_map(|(unit, times)| unit.repeat(times)),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn property_test_merged_blocks_hold_the_concatenated_contents(
        parts in proptest::collection::vec(contents(), 0..6)
    ) {
        let blocks: Vec<Vec<u8>> = parts
            .iter()
            .map(|part| Encoder::default().encode(part).unwrap().to_vec())
            .collect();
        let mut merged = Vec::new();
        merge(blocks.iter().map(Vec::as_slice), &mut merged).unwrap();
        let expected = parts.concat();
        prop_assert_eq!(&snap::raw::Decoder::new().decompress_vec(&merged).unwrap(), &expected);
        let mut scratch = Vec::new();
        prop_assert_eq!(decode(&merged, expected.len(), &mut scratch).unwrap(), &expected[..]);
    }

    #[test]
    fn property_test_any_bytes_are_decoded_or_refused_like_the_crate_does(
        block in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        let theirs = snap::raw::Decoder::new().decompress_vec(&block);
        let mut scratch = Vec::new();
        if let Ok(mine) = decode(&block, 1 << 16, &mut scratch) {
            prop_assert_eq!(&theirs.unwrap()[..], mine);
        } else if snap::raw::decompress_len(&block).is_ok_and(|len| len <= 1 << 16) {
            prop_assert!(theirs.is_err());
        }
    }
}

#[test]
fn a_bomb_is_refused_before_anything_is_allocated() {
    let mut scratch = Vec::new();
    // Four gibibytes declared by six bytes.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    assert!(matches!(
        decode(&bomb, 1 << 20, &mut scratch),
        Err(SnappyError::Impossible { .. })
    ));
    // A real bomb: as much as a block can grow.
    let block = Encoder::default()
        .encode(&vec![0; 8 << 20])
        .unwrap()
        .to_vec();
    assert_eq!(
        decode(&block, 1 << 20, &mut scratch),
        Err(SnappyError::TooLarge {
            declared: 8 << 20,
            limit: 1 << 20
        })
    );
    assert_eq!(scratch.capacity(), 0);
    assert_eq!(
        decode(&block, 8 << 20, &mut scratch).unwrap().len(),
        8 << 20
    );
}

#[test]
fn the_framed_format_is_named() {
    let framed = b"\xff\x06\x00\x00sNaPpYxxxx";
    assert_eq!(
        decode(framed, 1 << 20, &mut Vec::new()),
        Err(SnappyError::Framed)
    );
}
