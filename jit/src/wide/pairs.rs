//! The vector instructions that selection uses, each as it is encoded for 256 and for 512 bits.
//!
//! Some exist for one width only; the other encoding is then `INVALID` and never asked for.

use iced_x86::Code::{self, *};

/// An instruction on whole vectors, in both widths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// With 256-bit registers (VEX).
    pub(super) vex: Code,
    /// With 512-bit registers (EVEX).
    pub(super) evex: Code,
    /// Bytes of the elements that the 512-bit form can broadcast from memory; 0 if it cannot.
    pub(super) element: u8,
}

macro_rules! pairs {
    ($($name:ident $vex:ident $evex:ident $element:literal;)*) => {
        $(pub(super) const $name: Pair = Pair { vex: $vex, evex: $evex, element: $element };)*
    };
}

pairs! {
    ADDPD VEX_Vaddpd_ymm_ymm_ymmm256 EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er 8;
    ADDPS VEX_Vaddps_ymm_ymm_ymmm256 EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er 4;
    SUBPD VEX_Vsubpd_ymm_ymm_ymmm256 EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er 8;
    SUBPS VEX_Vsubps_ymm_ymm_ymmm256 EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er 4;
    MULPD VEX_Vmulpd_ymm_ymm_ymmm256 EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er 8;
    MULPS VEX_Vmulps_ymm_ymm_ymmm256 EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er 4;
    DIVPD VEX_Vdivpd_ymm_ymm_ymmm256 EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er 8;
    DIVPS VEX_Vdivps_ymm_ymm_ymmm256 EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er 4;
    MINPD VEX_Vminpd_ymm_ymm_ymmm256 EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae 8;
    MINPS VEX_Vminps_ymm_ymm_ymmm256 EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae 4;
    MAXPD VEX_Vmaxpd_ymm_ymm_ymmm256 EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae 8;
    MAXPS VEX_Vmaxps_ymm_ymm_ymmm256 EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae 4;
    SQRTPD VEX_Vsqrtpd_ymm_ymmm256 EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er 8;
    SQRTPS VEX_Vsqrtps_ymm_ymmm256 EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er 4;
    ROUNDPD VEX_Vroundpd_ymm_ymmm256_imm8 EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae 8;
    ROUNDPS VEX_Vroundps_ymm_ymmm256_imm8 EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae 4;
    // 512 bits only
    SCALEFPD INVALID EVEX_Vscalefpd_zmm_k1z_zmm_zmmm512b64_er 8;
    SCALEFPS INVALID EVEX_Vscalefps_zmm_k1z_zmm_zmmm512b32_er 4;
    GETEXPPD INVALID EVEX_Vgetexppd_zmm_k1z_zmmm512b64_sae 8;
    GETEXPPS INVALID EVEX_Vgetexpps_zmm_k1z_zmmm512b32_sae 4;
    GETMANTPD INVALID EVEX_Vgetmantpd_zmm_k1z_zmmm512b64_imm8_sae 8;
    GETMANTPS INVALID EVEX_Vgetmantps_zmm_k1z_zmmm512b32_imm8_sae 4;
    // the beginnings of a reciprocal and of that of a root; the greater or the smaller magnitude
    RCP14PD INVALID EVEX_Vrcp14pd_zmm_k1z_zmmm512b64 8;
    RCP14PS INVALID EVEX_Vrcp14ps_zmm_k1z_zmmm512b32 4;
    RSQRT14PD INVALID EVEX_Vrsqrt14pd_zmm_k1z_zmmm512b64 8;
    RSQRT14PS INVALID EVEX_Vrsqrt14ps_zmm_k1z_zmmm512b32 4;
    RANGEPD INVALID EVEX_Vrangepd_zmm_k1z_zmm_zmmm512b64_imm8_sae 8;
    RANGEPS INVALID EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae 4;
    // the forms of fma, by which operands are multiplied
    FMADD132PD VEX_Vfmadd132pd_ymm_ymm_ymmm256 EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FMADD213PD VEX_Vfmadd213pd_ymm_ymm_ymmm256 EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FMADD231PD VEX_Vfmadd231pd_ymm_ymm_ymmm256 EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FMADD132PS VEX_Vfmadd132ps_ymm_ymm_ymmm256 EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FMADD213PS VEX_Vfmadd213ps_ymm_ymm_ymmm256 EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FMADD231PS VEX_Vfmadd231ps_ymm_ymm_ymmm256 EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FMSUB132PD VEX_Vfmsub132pd_ymm_ymm_ymmm256 EVEX_Vfmsub132pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FMSUB213PD VEX_Vfmsub213pd_ymm_ymm_ymmm256 EVEX_Vfmsub213pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FMSUB231PD VEX_Vfmsub231pd_ymm_ymm_ymmm256 EVEX_Vfmsub231pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FMSUB132PS VEX_Vfmsub132ps_ymm_ymm_ymmm256 EVEX_Vfmsub132ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FMSUB213PS VEX_Vfmsub213ps_ymm_ymm_ymmm256 EVEX_Vfmsub213ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FMSUB231PS VEX_Vfmsub231ps_ymm_ymm_ymmm256 EVEX_Vfmsub231ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FNMADD132PD VEX_Vfnmadd132pd_ymm_ymm_ymmm256 EVEX_Vfnmadd132pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FNMADD213PD VEX_Vfnmadd213pd_ymm_ymm_ymmm256 EVEX_Vfnmadd213pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FNMADD231PD VEX_Vfnmadd231pd_ymm_ymm_ymmm256 EVEX_Vfnmadd231pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FNMADD132PS VEX_Vfnmadd132ps_ymm_ymm_ymmm256 EVEX_Vfnmadd132ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FNMADD213PS VEX_Vfnmadd213ps_ymm_ymm_ymmm256 EVEX_Vfnmadd213ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FNMADD231PS VEX_Vfnmadd231ps_ymm_ymm_ymmm256 EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FNMSUB132PD VEX_Vfnmsub132pd_ymm_ymm_ymmm256 EVEX_Vfnmsub132pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FNMSUB213PD VEX_Vfnmsub213pd_ymm_ymm_ymmm256 EVEX_Vfnmsub213pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FNMSUB231PD VEX_Vfnmsub231pd_ymm_ymm_ymmm256 EVEX_Vfnmsub231pd_zmm_k1z_zmm_zmmm512b64_er 8;
    FNMSUB132PS VEX_Vfnmsub132ps_ymm_ymm_ymmm256 EVEX_Vfnmsub132ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FNMSUB213PS VEX_Vfnmsub213ps_ymm_ymm_ymmm256 EVEX_Vfnmsub213ps_zmm_k1z_zmm_zmmm512b32_er 4;
    FNMSUB231PS VEX_Vfnmsub231ps_ymm_ymm_ymmm256 EVEX_Vfnmsub231ps_zmm_k1z_zmm_zmmm512b32_er 4;
    // bits
    ANDPD VEX_Vandpd_ymm_ymm_ymmm256 EVEX_Vandpd_zmm_k1z_zmm_zmmm512b64 8;
    ANDPS VEX_Vandps_ymm_ymm_ymmm256 EVEX_Vandps_zmm_k1z_zmm_zmmm512b32 4;
    ANDNPD VEX_Vandnpd_ymm_ymm_ymmm256 EVEX_Vandnpd_zmm_k1z_zmm_zmmm512b64 8;
    ANDNPS VEX_Vandnps_ymm_ymm_ymmm256 EVEX_Vandnps_zmm_k1z_zmm_zmmm512b32 4;
    ORPD VEX_Vorpd_ymm_ymm_ymmm256 EVEX_Vorpd_zmm_k1z_zmm_zmmm512b64 8;
    ORPS VEX_Vorps_ymm_ymm_ymmm256 EVEX_Vorps_zmm_k1z_zmm_zmmm512b32 4;
    XORPD VEX_Vxorpd_ymm_ymm_ymmm256 EVEX_Vxorpd_zmm_k1z_zmm_zmmm512b64 8;
    XORPS VEX_Vxorps_ymm_ymm_ymmm256 EVEX_Vxorps_zmm_k1z_zmm_zmmm512b32 4;
    PAND VEX_Vpand_ymm_ymm_ymmm256 EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64 8;
    PANDD VEX_Vpand_ymm_ymm_ymmm256 EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32 4;
    PANDN VEX_Vpandn_ymm_ymm_ymmm256 EVEX_Vpandnq_zmm_k1z_zmm_zmmm512b64 8;
    POR VEX_Vpor_ymm_ymm_ymmm256 EVEX_Vporq_zmm_k1z_zmm_zmmm512b64 8;
    PORD VEX_Vpor_ymm_ymm_ymmm256 EVEX_Vpord_zmm_k1z_zmm_zmmm512b32 4;
    PXOR VEX_Vpxor_ymm_ymm_ymmm256 EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64 8;
    PXORD VEX_Vpxor_ymm_ymm_ymmm256 EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32 4;
    // integers
    PADDB VEX_Vpaddb_ymm_ymm_ymmm256 EVEX_Vpaddb_zmm_k1z_zmm_zmmm512 0;
    PADDW VEX_Vpaddw_ymm_ymm_ymmm256 EVEX_Vpaddw_zmm_k1z_zmm_zmmm512 0;
    PADDD VEX_Vpaddd_ymm_ymm_ymmm256 EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32 4;
    PADDQ VEX_Vpaddq_ymm_ymm_ymmm256 EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64 8;
    PSUBB VEX_Vpsubb_ymm_ymm_ymmm256 EVEX_Vpsubb_zmm_k1z_zmm_zmmm512 0;
    PSUBW VEX_Vpsubw_ymm_ymm_ymmm256 EVEX_Vpsubw_zmm_k1z_zmm_zmmm512 0;
    PSUBD VEX_Vpsubd_ymm_ymm_ymmm256 EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32 4;
    PSUBQ VEX_Vpsubq_ymm_ymm_ymmm256 EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64 8;
    PMULLW VEX_Vpmullw_ymm_ymm_ymmm256 EVEX_Vpmullw_zmm_k1z_zmm_zmmm512 0;
    PMULLD VEX_Vpmulld_ymm_ymm_ymmm256 EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32 4;
    PMULLQ INVALID EVEX_Vpmullq_zmm_k1z_zmm_zmmm512b64 8;
    PMULUDQ VEX_Vpmuludq_ymm_ymm_ymmm256 EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64 8;
    PABSB VEX_Vpabsb_ymm_ymmm256 EVEX_Vpabsb_zmm_k1z_zmmm512 0;
    PABSW VEX_Vpabsw_ymm_ymmm256 EVEX_Vpabsw_zmm_k1z_zmmm512 0;
    PABSD VEX_Vpabsd_ymm_ymmm256 EVEX_Vpabsd_zmm_k1z_zmmm512b32 4;
    PABSQ INVALID EVEX_Vpabsq_zmm_k1z_zmmm512b64 8;
    PMINSB VEX_Vpminsb_ymm_ymm_ymmm256 EVEX_Vpminsb_zmm_k1z_zmm_zmmm512 0;
    PMINSW VEX_Vpminsw_ymm_ymm_ymmm256 EVEX_Vpminsw_zmm_k1z_zmm_zmmm512 0;
    PMINSD VEX_Vpminsd_ymm_ymm_ymmm256 EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32 4;
    PMINSQ INVALID EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64 8;
    PMAXSB VEX_Vpmaxsb_ymm_ymm_ymmm256 EVEX_Vpmaxsb_zmm_k1z_zmm_zmmm512 0;
    PMAXSW VEX_Vpmaxsw_ymm_ymm_ymmm256 EVEX_Vpmaxsw_zmm_k1z_zmm_zmmm512 0;
    PMAXSD VEX_Vpmaxsd_ymm_ymm_ymmm256 EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32 4;
    PMAXSQ INVALID EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64 8;
    PMINUB VEX_Vpminub_ymm_ymm_ymmm256 EVEX_Vpminub_zmm_k1z_zmm_zmmm512 0;
    PMINUW VEX_Vpminuw_ymm_ymm_ymmm256 EVEX_Vpminuw_zmm_k1z_zmm_zmmm512 0;
    PMINUD VEX_Vpminud_ymm_ymm_ymmm256 EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32 4;
    PMINUQ INVALID EVEX_Vpminuq_zmm_k1z_zmm_zmmm512b64 8;
    PMAXUB VEX_Vpmaxub_ymm_ymm_ymmm256 EVEX_Vpmaxub_zmm_k1z_zmm_zmmm512 0;
    PMAXUW VEX_Vpmaxuw_ymm_ymm_ymmm256 EVEX_Vpmaxuw_zmm_k1z_zmm_zmmm512 0;
    PMAXUD VEX_Vpmaxud_ymm_ymm_ymmm256 EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32 4;
    PMAXUQ INVALID EVEX_Vpmaxuq_zmm_k1z_zmm_zmmm512b64 8;
    // shifts: by an immediate, and by lanes
    PSLLW_I VEX_Vpsllw_ymm_ymm_imm8 EVEX_Vpsllw_zmm_k1z_zmmm512_imm8 0;
    PSLLD_I VEX_Vpslld_ymm_ymm_imm8 EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8 0;
    PSLLQ_I VEX_Vpsllq_ymm_ymm_imm8 EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8 0;
    PSRLW_I VEX_Vpsrlw_ymm_ymm_imm8 EVEX_Vpsrlw_zmm_k1z_zmmm512_imm8 0;
    PSRLD_I VEX_Vpsrld_ymm_ymm_imm8 EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8 0;
    PSRLQ_I VEX_Vpsrlq_ymm_ymm_imm8 EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8 0;
    PSRAW_I VEX_Vpsraw_ymm_ymm_imm8 EVEX_Vpsraw_zmm_k1z_zmmm512_imm8 0;
    PSRAD_I VEX_Vpsrad_ymm_ymm_imm8 EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8 0;
    PSRAQ_I INVALID EVEX_Vpsraq_zmm_k1z_zmmm512b64_imm8 0;
    PSLLVW INVALID EVEX_Vpsllvw_zmm_k1z_zmm_zmmm512 0;
    PSLLVD VEX_Vpsllvd_ymm_ymm_ymmm256 EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32 4;
    PSLLVQ VEX_Vpsllvq_ymm_ymm_ymmm256 EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64 8;
    PSRLVW INVALID EVEX_Vpsrlvw_zmm_k1z_zmm_zmmm512 0;
    PSRLVD VEX_Vpsrlvd_ymm_ymm_ymmm256 EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32 4;
    PSRLVQ VEX_Vpsrlvq_ymm_ymm_ymmm256 EVEX_Vpsrlvq_zmm_k1z_zmm_zmmm512b64 8;
    PSRAVW INVALID EVEX_Vpsravw_zmm_k1z_zmm_zmmm512 0;
    PSRAVD VEX_Vpsravd_ymm_ymm_ymmm256 EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32 4;
    PSRAVQ INVALID EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64 8;
    // compares; of integers, 512-bit ones take the relation as an immediate
    CMPPD VEX_Vcmppd_ymm_ymm_ymmm256_imm8 EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae 8;
    CMPPS VEX_Vcmpps_ymm_ymm_ymmm256_imm8 EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae 4;
    PCMPEQB VEX_Vpcmpeqb_ymm_ymm_ymmm256 INVALID 0;
    PCMPEQW VEX_Vpcmpeqw_ymm_ymm_ymmm256 INVALID 0;
    PCMPEQD VEX_Vpcmpeqd_ymm_ymm_ymmm256 INVALID 0;
    PCMPEQQ VEX_Vpcmpeqq_ymm_ymm_ymmm256 INVALID 0;
    PCMPGTB VEX_Vpcmpgtb_ymm_ymm_ymmm256 INVALID 0;
    PCMPGTW VEX_Vpcmpgtw_ymm_ymm_ymmm256 INVALID 0;
    PCMPGTD VEX_Vpcmpgtd_ymm_ymm_ymmm256 INVALID 0;
    PCMPGTQ VEX_Vpcmpgtq_ymm_ymm_ymmm256 INVALID 0;
    PCMPB INVALID EVEX_Vpcmpb_kr_k1_zmm_zmmm512_imm8 0;
    PCMPW INVALID EVEX_Vpcmpw_kr_k1_zmm_zmmm512_imm8 0;
    PCMPD INVALID EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8 4;
    PCMPQ INVALID EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8 8;
    PCMPUB INVALID EVEX_Vpcmpub_kr_k1_zmm_zmmm512_imm8 0;
    PCMPUW INVALID EVEX_Vpcmpuw_kr_k1_zmm_zmmm512_imm8 0;
    PCMPUD INVALID EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8 4;
    PCMPUQ INVALID EVEX_Vpcmpuq_kr_k1_zmm_zmmm512b64_imm8 8;
    TESTMD INVALID EVEX_Vptestmd_kr_k1_zmm_zmmm512b32 4;
    TESTMQ INVALID EVEX_Vptestmq_kr_k1_zmm_zmmm512b64 8;
    TESTNMD INVALID EVEX_Vptestnmd_kr_k1_zmm_zmmm512b32 4;
    TESTNMQ INVALID EVEX_Vptestnmq_kr_k1_zmm_zmmm512b64 8;
    // choices: 256-bit ones by the top bits of a vector, 512-bit ones by a mask register
    BLENDVPD VEX_Vblendvpd_ymm_ymm_ymmm256_ymm EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64 8;
    BLENDVPS VEX_Vblendvps_ymm_ymm_ymmm256_ymm EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32 4;
    BLENDVB VEX_Vpblendvb_ymm_ymm_ymmm256_ymm EVEX_Vpblendmb_zmm_k1z_zmm_zmmm512 0;
    BLENDMW INVALID EVEX_Vpblendmw_zmm_k1z_zmm_zmmm512 0;
    BLENDMD INVALID EVEX_Vpblendmd_zmm_k1z_zmm_zmmm512b32 4;
    BLENDMQ INVALID EVEX_Vpblendmq_zmm_k1z_zmm_zmmm512b64 8;
    // moves of whole vectors
    MOVUPD VEX_Vmovupd_ymm_ymmm256 EVEX_Vmovupd_zmm_k1z_zmmm512 0;
    STORE VEX_Vmovupd_ymmm256_ymm EVEX_Vmovupd_zmmm512_k1z_zmm 0;
    STREAM VEX_Vmovntpd_m256_ymm EVEX_Vmovntpd_m512_zmm 0;
    // one element from memory to all lanes
    BROADCASTB VEX_Vpbroadcastb_ymm_xmmm8 EVEX_Vpbroadcastb_zmm_k1z_xmmm8 0;
    BROADCASTW VEX_Vpbroadcastw_ymm_xmmm16 EVEX_Vpbroadcastw_zmm_k1z_xmmm16 0;
    BROADCASTSS VEX_Vbroadcastss_ymm_m32 EVEX_Vbroadcastss_zmm_k1z_xmmm32 0;
    BROADCASTSD VEX_Vbroadcastsd_ymm_m64 EVEX_Vbroadcastsd_zmm_k1z_xmmm64 0;
    BROADCASTD_X VEX_Vpbroadcastd_ymm_xmmm32 EVEX_Vpbroadcastd_zmm_k1z_xmmm32 0;
    BROADCASTQ_X VEX_Vpbroadcastq_ymm_xmmm64 EVEX_Vpbroadcastq_zmm_k1z_xmmm64 0;
    // wider lanes, of the lower part of a vector
    MOVSXBW VEX_Vpmovsxbw_ymm_xmmm128 EVEX_Vpmovsxbw_zmm_k1z_ymmm256 0;
    MOVSXBD VEX_Vpmovsxbd_ymm_xmmm64 EVEX_Vpmovsxbd_zmm_k1z_xmmm128 0;
    MOVSXBQ VEX_Vpmovsxbq_ymm_xmmm32 EVEX_Vpmovsxbq_zmm_k1z_xmmm64 0;
    MOVSXWD VEX_Vpmovsxwd_ymm_xmmm128 EVEX_Vpmovsxwd_zmm_k1z_ymmm256 0;
    MOVSXWQ VEX_Vpmovsxwq_ymm_xmmm64 EVEX_Vpmovsxwq_zmm_k1z_xmmm128 0;
    MOVSXDQ VEX_Vpmovsxdq_ymm_xmmm128 EVEX_Vpmovsxdq_zmm_k1z_ymmm256 0;
    MOVZXBW VEX_Vpmovzxbw_ymm_xmmm128 EVEX_Vpmovzxbw_zmm_k1z_ymmm256 0;
    MOVZXBD VEX_Vpmovzxbd_ymm_xmmm64 EVEX_Vpmovzxbd_zmm_k1z_xmmm128 0;
    MOVZXBQ VEX_Vpmovzxbq_ymm_xmmm32 EVEX_Vpmovzxbq_zmm_k1z_xmmm64 0;
    MOVZXWD VEX_Vpmovzxwd_ymm_xmmm128 EVEX_Vpmovzxwd_zmm_k1z_ymmm256 0;
    MOVZXWQ VEX_Vpmovzxwq_ymm_xmmm64 EVEX_Vpmovzxwq_zmm_k1z_xmmm128 0;
    MOVZXDQ VEX_Vpmovzxdq_ymm_xmmm128 EVEX_Vpmovzxdq_zmm_k1z_ymmm256 0;
    CVTPS2PD VEX_Vcvtps2pd_ymm_xmmm128 EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae 0;
    CVTPH2PS VEX_Vcvtph2ps_ymm_xmmm128 EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae 0;
    CVTDQ2PD VEX_Vcvtdq2pd_ymm_xmmm128 EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er 0;
    CVTUDQ2PD INVALID EVEX_Vcvtudq2pd_zmm_k1z_ymmm256b32_er 0;
    // narrower lanes, into the lower half
    CVTPD2PS VEX_Vcvtpd2ps_xmm_ymmm256 EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er 0;
    CVTPS2PH VEX_Vcvtps2ph_xmmm128_ymm_imm8 EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae 0;
    CVTTPD2DQ VEX_Vcvttpd2dq_xmm_ymmm256 EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae 0;
    CVTTPD2UDQ INVALID EVEX_Vcvttpd2udq_ymm_k1z_zmmm512b64_sae 0;
    CVTQQ2PS INVALID EVEX_Vcvtqq2ps_ymm_k1z_zmmm512b64_er 0;
    CVTUQQ2PS INVALID EVEX_Vcvtuqq2ps_ymm_k1z_zmmm512b64_er 0;
    PMOVWB INVALID EVEX_Vpmovwb_ymmm256_k1z_zmm 0;
    PMOVDW INVALID EVEX_Vpmovdw_ymmm256_k1z_zmm 0;
    PMOVQD INVALID EVEX_Vpmovqd_ymmm256_k1z_zmm 0;
    // lanes of the same size
    CVTDQ2PS VEX_Vcvtdq2ps_ymm_ymmm256 EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er 0;
    CVTUDQ2PS INVALID EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er 0;
    CVTQQ2PD INVALID EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er 0;
    CVTUQQ2PD INVALID EVEX_Vcvtuqq2pd_zmm_k1z_zmmm512b64_er 0;
    CVTTPS2DQ VEX_Vcvttps2dq_ymm_ymmm256 EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae 0;
    CVTTPS2UDQ INVALID EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae 0;
    CVTTPD2QQ INVALID EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae 0;
    CVTTPD2UQQ INVALID EVEX_Vcvttpd2uqq_zmm_k1z_zmmm512b64_sae 0;
    CVTTPS2QQ INVALID EVEX_Vcvttps2qq_zmm_k1z_ymmm256b32_sae 0;
    CVTTPS2UQQ INVALID EVEX_Vcvttps2uqq_zmm_k1z_ymmm256b32_sae 0;
    // parts of vectors: the upper half, and both halves joined
    HIGH VEX_Vextractf128_xmmm128_ymm_imm8 EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8 0;
    JOIN VEX_Vinsertf128_ymm_ymm_xmmm128_imm8 EVEX_Vinsertf64x4_zmm_k1z_zmm_ymmm256_imm8 0;
    // within 128-bit parts, and across
    PACKSSDW VEX_Vpackssdw_ymm_ymm_ymmm256 INVALID 0;
    PACKSSWB VEX_Vpacksswb_ymm_ymm_ymmm256 INVALID 0;
    PACKUSDW VEX_Vpackusdw_ymm_ymm_ymmm256 INVALID 0;
    PACKUSWB VEX_Vpackuswb_ymm_ymm_ymmm256 INVALID 0;
    SHUFPS VEX_Vshufps_ymm_ymm_ymmm256_imm8 INVALID 0;
    PERMQ VEX_Vpermq_ymm_ymmm256_imm8 INVALID 0;
}
