// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Transmit taps: the bracket is dev_queue_xmit_nit(skb, dev), and each call is one pass. The function clones the skb
 * once for all taps, so the taps' skb is not the one that is sent. The record has the latter, which is the same on the
 * bond and then on the slave.
 */

static __always_inline int tx_begin(void *ctx, u64 skb, u64 dev, u8 typed)
{
	struct cpu_state *cpu = begin_bracket(ctx);
	if (!cpu)
		return 0;
	struct frame *frame = push(cpu, FRAME_TX);
	if (frame)
		open_pass(cpu, frame, typed, skb, dev, RECORD_TX);
	return 0;
}

PROBE(tx_enter) { return tx_begin(ctx, ARG(tx_enter, 0), ARG(tx_enter, 1), TYPED_tx_enter); }
