using ModelPack.Kernels.Emit;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Machine code against that of the GNU assembler.</summary>
public sealed class X64AssemblerTests
{
    [Fact]
    public void Loads_and_stores_of_vectors()
    {
        Same("62 f1 7c 48 10 5a 01", a => a.Load(3, new Mem(Gpr.Rdx, 64)));
        Same("62 41 7c 48 10 78 7f", a => a.Load(31, new Mem(Gpr.R8, 127 * 64)));
        Same("62 c1 7c 48 10 89 00 20 00 00", a => a.Load(17, new Mem(Gpr.R9, 128 * 64)));
        Same("62 41 7c 48 11 41 00", a => a.Store(new Mem(Gpr.R9, 0), 24)); // GNU leaves the displacement 0 out: 62 41 7c 48 11 01.
        Same("62 71 7c 48 11 49 80", a => a.Store(new Mem(Gpr.Rcx, -8192), 9));
    }

    [Fact]
    public void Displacements_are_compressed_where_they_can_be()
    {
        Same("62 62 7d 48 58 72 03", a => a.Broadcast(30, new Mem(Gpr.Rdx, 12)));
        Same("62 52 7d 48 58 43 7f", a => a.Broadcast(8, new Mem(Gpr.R11, 508)));
        Same("62 52 7d 48 58 83 00 02 00 00", a => a.Broadcast(8, new Mem(Gpr.R11, 512)));
        Same("62 52 7d 48 58 83 01 02 00 00", a => a.Broadcast(8, new Mem(Gpr.R11, 513)));
        Same("62 62 7d 48 19 72 03", a => a.BroadcastPair(30, new Mem(Gpr.Rdx, 24)));
        Same("62 52 7d 48 19 43 7f", a => a.BroadcastPair(8, new Mem(Gpr.R11, 1016)));
    }

    [Fact]
    public void Arithmetic_of_vectors()
    {
        Same("62 51 15 48 ef ed", a => a.Clear(13));
        Same("62 91 6d 40 db cf", a => a.And(1, 18, 31));
        Same("62 02 1d 48 50 de", a => a.DotBytes(27, 12, 30));
        Same("62 d2 5e 40 52 e9", a => a.DotBFloat16(5, 20, 9));
        Same("62 d2 5e 50 52 68 02", a => a.DotBFloat16(5, 20, new Mem(Gpr.R8, 8)));
        Same("62 f2 1d 50 40 52 ff", a => a.MultiplyIntegers(2, 28, new Mem(Gpr.Rdx, -4)));
        Same("62 61 14 40 59 f1", a => a.Multiply(30, 29, 1));
        Same("62 41 14 50 59 71 06", a => a.Multiply(30, 29, new Mem(Gpr.R9, 24)));
        Same("62 12 7d 48 b8 f6", a => a.MultiplyAdd(14, 0, 30));
        Same("62 e1 7c 48 5b eb", a => a.ToSingle(21, 3));
        Same("62 b2 7e 48 39 cf", a => a.MaskOfSigns(23));
        Same("62 d2 7e 48 39 c9", a => a.MaskOfSigns(9));
        Same("62 a1 35 41 fa ff", a => a.SubtractMasked(23, 25, 23));
        Same("62 71 35 49 fa e3", a => a.SubtractMasked(12, 9, 3));
        Same("62 71 3c 48 58 c0", a => a.AddSingles(8, 8, 0));
        Same("62 c1 04 40 58 e6", a => a.AddSingles(20, 31, 14));
    }

    [Fact]
    public void Moves_within_vectors()
    {
        Same("62 e2 7d 48 7c d9", a => a.Broadcast(19, Gpr.Rcx));
        Same("62 c2 7d 48 7c d9", a => a.Broadcast(19, Gpr.R9));
        Same("62 d2 7d 48 31 63 01", a => a.WidenBytes(4, new Mem(Gpr.R11, 16)));
        Same("62 c2 7d 48 33 62 02", a => a.WidenWords(20, new Mem(Gpr.R10, 64)));
        Same("62 c2 7d 48 13 62 02", a => a.WidenHalves(20, new Mem(Gpr.R10, 64)));
        Same("62 f2 7d 48 13 ba 21 00 00 00", a => a.WidenHalves(7, new Mem(Gpr.Rdx, 33)));
        Same("c4 c2 7d 13 48 10", a => a.WidenEightHalves(1, new Mem(Gpr.R8, 16)));
        Same("c4 e2 7d 13 6a 10", a => a.WidenEightHalves(5, new Mem(Gpr.Rdx, 16)));
        Same("c4 c1 7c 11 49 20", a => a.StoreEight(new Mem(Gpr.R9, 32), 1));
        Same("c4 e1 7c 11 7a 20", a => a.StoreEight(new Mem(Gpr.Rdx, 32), 7));
        Same("62 b1 45 48 72 f5 17", a => a.ShiftLeft(7, 21, 23));
        Same("62 f1 45 40 72 f1 10", a => a.ShiftLeft(23, 1, 16));
        Same("62 d1 0d 40 72 d1 02", a => a.ShiftRight(30, 9, 2));
        Same("62 d1 1d 48 72 e5 06", a => a.ShiftRightSigned(12, 13, 6));
        Same("62 92 75 40 8d dd", a => a.PermuteBytes(3, 17, 29));
        Same("62 92 75 40 16 dd", a => a.PermuteSingles(3, 17, 29));
        Same("62 32 7d 40 75 c9", a => a.PermuteBytesOfTwo(9, 16, 17));
        Same("62 02 6d 48 75 d7", a => a.PermuteBytesOfTwo(26, 2, 31));
        Same("62 32 7d 40 77 c9", a => a.PermuteSinglesOfTwo(9, 16, 17));
        Same("62 02 6d 48 77 d7", a => a.PermuteSinglesOfTwo(26, 2, 31));
        Same("62 83 5d 40 25 fb d8", a => a.Ternary(23, 20, 27, 0xD8));
        Same("62 73 3d 40 25 ca d8", a => a.Ternary(9, 24, 2, 0xD8));
        Same("62 53 5d 40 25 48 01 f8", a => a.Ternary(9, 20, new Mem(Gpr.R8, 64), 0xF8));
        Same("62 63 5d 48 25 8a 21 00 00 00 b8", a => a.Ternary(25, 4, new Mem(Gpr.Rdx, 33), 0xB8));
        Same("62 51 2d 48 60 d9", a => a.UnpackLowBytes(11, 10, 9));
        Same("62 01 75 48 68 e1", a => a.UnpackHighBytes(28, 1, 25));
        Same("62 b2 15 40 00 d9", a => a.ShuffleBytes(3, 29, 17));
        Same("62 b1 6d 48 fe cf", a => a.AddIntegers(1, 2, 23));
        Same("62 51 35 48 eb c2", a => a.Or(8, 9, 10));
        Same("62 f2 5d 50 50 6a 02", a => a.DotBytes(5, 20, new Mem(Gpr.Rdx, 8)));
    }

    [Fact]
    public void General_registers_and_the_end()
    {
        Same("48 8b 57 08", a => a.Load(Gpr.Rdx, new Mem(Gpr.Rdi, 8)));
        Same("4c 8b 91 00 04 00 00", a => a.Load(Gpr.R10, new Mem(Gpr.Rcx, 1024)));
        Same("49 89 d1", a => a.Move(Gpr.R9, Gpr.Rdx));
        Same("4c 89 da", a => a.Move(Gpr.Rdx, Gpr.R11));
        Same("48 c7 c0 4d 00 00 00", a => a.Set(Gpr.Rax, 77));
        Same("49 81 c0 00 10 00 00", a => a.Add(Gpr.R8, 4096));
        Same("48 81 c2 18 00 00 00", a => a.Add(Gpr.Rdx, 24)); // GNU takes the form with one byte: 48 83 c2 18.
        Same("0f 18 4a 40", a => a.Prefetch(new Mem(Gpr.Rdx, 64)));
        Same("41 0f 18 8a 00 10 00 00", a => a.Prefetch(new Mem(Gpr.R10, 4096)));
        Same("c5 f8 77 c3", a => a.Return());
    }

    [Fact]
    public void A_loop_jumps_back_to_its_beginning()
    {
        // dec r10; jnz -9 (from behind the jump), as GNU writes "1: dec %r10; jnz 1b" in the long form.
        Same("49 ff ca 0f 85 f7 ff ff ff", a => a.Loop(Gpr.R10, a.Position));
    }

    private static void Same(string expected, Action<X64Assembler> write)
    {
        var assembler = new X64Assembler();
        write(assembler);
        Assert.Equal(expected, string.Join(' ', assembler.Code.ToArray().Select(b => b.ToString("x2", System.Globalization.CultureInfo.InvariantCulture))));
    }
}
