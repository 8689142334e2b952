//! Any bytes, and any text, as a capability: what is accepted is written back the same.
#![no_main]

use jenkins_remoting::capability::Capability;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Capability::from_bytes(bytes) {
        Ok(capability) => {
            let written = Capability::from_bytes(&capability.to_bytes());
            assert_eq!(written, Ok(capability));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        match Capability::from_base64(text) {
            Ok(capability) => {
                assert_eq!(Capability::from_base64(&capability.to_base64()), Ok(capability));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
