using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack;

/// <summary>
/// The loop of XXH3 for inputs of more than 240 bytes: blocks of 16 stripes of 64 bytes, eight accumulators, which every block ends by scrambling. scalar: System.IO.Hashing.XxHash3, with which tests compare every length.
/// </summary>
internal static unsafe class Xxh3Kernel
{
    /// <summary>Bytes of a block: the secret moves on 8 bytes with every stripe.</summary>
    public const int BlockBytes = StripeBytes * StripesPerBlock;

    /// <summary>Inputs below have formulas of their own.</summary>
    public const int MinBytes = 241;

    private const int StripeBytes = 64;
    private const int StripesPerBlock = (SecretBytes - StripeBytes) / 8;
    private const int SecretBytes = 192;
    private const int LastStripeSecret = SecretBytes - StripeBytes - 7;
    private const int MergeSecret = 11;

    /// <summary>True where the loop can run.</summary>
    public static bool IsSupported => Avx2.IsSupported;

    private static ReadOnlySpan<byte> Secret =>
    [
        0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
        0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
        0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
        0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
        0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
        0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
    ];

    /// <summary>Hashes whole blocks, none of them the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Blocks(ref Xxh3State state, byte* input, int blocks)
    {
        fixed (byte* secret = Secret)
        fixed (Xxh3State* s = &state)
        {
            if (Avx512F.IsSupported)
            {
                Blocks512((ulong*)s, input, blocks, secret);
            }
            else
            {
                Blocks256((ulong*)s, input, blocks, secret);
            }
        }
    }

    /// <summary>Hashes what is left behind the blocks and joins the accumulators.</summary>
    /// <param name="state">The accumulators.</param>
    /// <param name="input">Behind the last block.</param>
    /// <param name="left">Bytes left, 1 to 1,024.</param>
    /// <param name="length">Bytes of the whole input; there are 64 before the end.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Finish(ref Xxh3State state, byte* input, int left, int length)
    {
        fixed (byte* secret = Secret)
        fixed (Xxh3State* s = &state)
        {
            byte* end = input + left;
            int stripes = (left - 1) / StripeBytes;
            ulong* a = (ulong*)s;
            for (int n = 0; n < stripes; n++)
            {
                Stripe256(a, input + (n * StripeBytes), secret + (8 * n));
            }

            Stripe256(a, end - StripeBytes, secret + LastStripeSecret);
            ulong hash = (ulong)length * Xxh3State.Prime64A;
            for (int i = 0; i < 8; i += 2)
            {
                ulong high = Math.BigMul(a[i] ^ *(ulong*)(secret + MergeSecret + (8 * i)), a[i + 1] ^ *(ulong*)(secret + MergeSecret + (8 * i) + 8), out ulong low);
                hash += high ^ low;
            }

            hash = (hash ^ (hash >> 37)) * 0x165667919E3779F9;
            return hash ^ (hash >> 32);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Blocks512(ulong* state, byte* input, int blocks, byte* secret)
    {
        Vector512<ulong> x = Vector512.Load(state);
        Vector512<ulong> scramble = Vector512.Load((ulong*)(secret + SecretBytes - StripeBytes));
        Vector512<ulong> prime = Vector512.Create((ulong)Xxh3State.Prime32A);
        for (; blocks > 0; blocks--, input += BlockBytes)
        {
            for (int n = 0; n < StripesPerBlock; n += 4)
            {
                x = Add(x, input + (n * StripeBytes), secret + (8 * n));
                x = Add(x, input + ((n + 1) * StripeBytes), secret + (8 * n) + 8);
                x = Add(x, input + ((n + 2) * StripeBytes), secret + (8 * n) + 16);
                x = Add(x, input + ((n + 3) * StripeBytes), secret + (8 * n) + 24);
            }

            Vector512<ulong> y = x ^ (x >>> 47) ^ scramble;
            x = Avx512F.Multiply(y.AsUInt32(), prime.AsUInt32()) + (Avx512F.Multiply((y >>> 32).AsUInt32(), prime.AsUInt32()) << 32);
        }

        x.Store(state);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Add(Vector512<ulong> x, byte* input, byte* secret)
    {
        Vector512<ulong> data = Vector512.Load((ulong*)input);
        Vector512<ulong> key = data ^ Vector512.Load((ulong*)secret);
        return x + (Avx512F.Shuffle(data.AsUInt32(), 0b01_00_11_10).AsUInt64() + Avx512F.Multiply(key.AsUInt32(), (key >>> 32).AsUInt32()));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Blocks256(ulong* state, byte* input, int blocks, byte* secret)
    {
        for (; blocks > 0; blocks--, input += BlockBytes)
        {
            Vector256<ulong> x0 = Vector256.Load(state);
            Vector256<ulong> x1 = Vector256.Load(state + 4);
            for (int n = 0; n < StripesPerBlock; n++)
            {
                x0 = Add(x0, input + (n * StripeBytes), secret + (8 * n));
                x1 = Add(x1, input + (n * StripeBytes) + 32, secret + (8 * n) + 32);
            }

            Scramble(x0, secret + SecretBytes - StripeBytes).Store(state);
            Scramble(x1, secret + SecretBytes - 32).Store(state + 4);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Stripe256(ulong* state, byte* input, byte* secret)
    {
        Add(Vector256.Load(state), input, secret).Store(state);
        Add(Vector256.Load(state + 4), input + 32, secret + 32).Store(state + 4);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Add(Vector256<ulong> x, byte* input, byte* secret)
    {
        Vector256<ulong> data = Vector256.Load((ulong*)input);
        Vector256<ulong> key = data ^ Vector256.Load((ulong*)secret);
        return x + (Avx2.Shuffle(data.AsUInt32(), 0b01_00_11_10).AsUInt64() + Avx2.Multiply(key.AsUInt32(), (key >>> 32).AsUInt32()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Scramble(Vector256<ulong> x, byte* secret)
    {
        Vector256<uint> prime = Vector256.Create((ulong)Xxh3State.Prime32A).AsUInt32();
        Vector256<ulong> y = x ^ (x >>> 47) ^ Vector256.Load((ulong*)secret);
        return Avx2.Multiply(y.AsUInt32(), prime) + (Avx2.Multiply((y >>> 32).AsUInt32(), prime) << 32);
    }
}
