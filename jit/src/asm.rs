//! Disassembly, for explain.

/// Machine code of this machine's architecture as text: one instruction a line, with its offset. Constants stand before
/// `start`, or behind the code.
#[cfg(target_arch = "x86_64")]
pub(crate) fn disassemble(code: &[u8], start: usize) -> String {
    use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, Mnemonic, NasmFormatter};
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    // The position is one in the bytes.
    let _ = decoder.set_position(start);
    decoder.set_ip(start as u64);
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_branch_leading_zeros(false);
    options.set_rip_relative_addresses(true);
    let mut text = hex(&code[..start], 0);
    let mut instruction = Instruction::default();
    // Constants stand behind the code: it ends where the first one that an instruction names begins.
    let mut end = code.len();
    while decoder.position() < end && decoder.can_decode() {
        let rest = &code[decoder.position()..end];
        if instruction.mnemonic() == Mnemonic::Ret && end < code.len() && rest.iter().all(|&b| b == 0) {
            // Padding before the constants.
            break;
        }
        decoder.decode_out(&mut instruction);
        if instruction.is_ip_rel_memory_operand() {
            let constant = usize::try_from(instruction.ip_rel_memory_address()).unwrap_or(end);
            end = if constant >= start { end.min(constant) } else { end };
        }
        text += &format!("{:5x}  ", instruction.ip());
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text += &hex(&code[end..], end);
    text
}

/// Machine code as hexadecimal words.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn disassemble(code: &[u8], _: usize) -> String {
    hex(code, 0)
}

/// Lines of 16 bytes, from offset `at`.
fn hex(bytes: &[u8], at: usize) -> String {
    let line = |(i, chunk): (usize, &[u8])| {
        let digits: Vec<_> = chunk.iter().map(|b| format!("{b:02x}")).collect();
        format!("{:5x}  {}\n", at + 16 * i, digits.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}
