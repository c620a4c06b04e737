using System.Globalization;

namespace ModelPack.Compiler.Calibration;

/// <summary>
/// The patches of an image that one group of a convolution multiplies with its filters: vectors of channels x kernel values, in the order of a filter's weights [I / groups, kH, kW]; zero outside of the image. With any number of
/// spatial axes. Lists are texts such as <c>3x3</c>, so that equal patches are equal values.
/// </summary>
/// <param name="Kernel">Size along each spatial axis.</param>
/// <param name="Strides">Steps along each.</param>
/// <param name="Dilations">Distances of kernel elements along each.</param>
/// <param name="Pads">Zeros before each axis and then behind each, or <c>same_upper</c>, <c>same_lower</c>.</param>
/// <param name="FirstChannel">First channel of the group.</param>
/// <param name="Channels">Channels of the group.</param>
/// <param name="Positions">Most patches to take of one sample, evenly spread over all positions of the output.</param>
public sealed record ConvolutionPatches(string Kernel, string Strides, string Dilations, string Pads, int FirstChannel, int Channels, int Positions)
{
    /// <summary>Values of a patch.</summary>
    public int Columns => checked((int)List(Kernel).Aggregate((long)Channels, (product, k) => product * k));

    /// <summary>Elements of the kernel for one channel.</summary>
    public int KernelElements => Columns / Channels;

    /// <summary>The list as text.</summary>
    public static string Text(IEnumerable<long> values) => string.Join('x', values.Select(v => v.ToString(CultureInfo.InvariantCulture)));

    /// <summary>Takes patches out of a value.</summary>
    /// <param name="name">Name of the value, for messages.</param>
    /// <param name="values">[batch, channels, ...], row-major.</param>
    /// <param name="dims">Its sizes.</param>
    /// <returns>[patches, <see cref="Columns"/>], row-major.</returns>
    /// <exception cref="ModelPackException">MP2212: not an image with these channels and as many spatial axes as the kernel has.</exception>
    public float[] Gather(string name, ReadOnlySpan<float> values, ReadOnlySpan<long> dims)
    {
        long[] kernel = List(Kernel);
        int axes = kernel.Length;
        if (dims.Length != axes + 2 || dims[1] < FirstChannel + Channels)
        {
            throw new ModelPackException(ErrorCodes.CalibrationShape, string.Create(CultureInfo.InvariantCulture, $"value '{name}' is {new Shape(dims.ToArray())}, no image with channel {FirstChannel + Channels - 1} and {axes} spatial axes"));
        }

        long[] sizes = dims[2..].ToArray();
        long[] strides = List(Strides);
        long[] dilations = List(Dilations);
        long[] before = new long[axes];
        long[] outputs = new long[axes];
        long positions = dims[0];
        for (int a = 0; a < axes; a++)
        {
            (before[a], outputs[a]) = Padding(a, sizes[a], ((kernel[a] - 1) * dilations[a]) + 1, strides[a], axes);
            positions *= Math.Max(0, outputs[a]);
        }

        int count = (int)Math.Min(positions, Positions);
        int columns = Columns;
        int perChannel = columns / Channels;
        long plane = sizes.Aggregate(1L, (product, s) => product * s);
        float[] patches = new float[(long)count * columns];
        long[] origin = new long[axes];
        for (int i = 0; i < count; i++)
        {
            long rest = i * positions / count;
            for (int a = axes - 1; a >= 0; a--)
            {
                origin[a] = (rest % outputs[a] * strides[a]) - before[a];
                rest /= outputs[a];
            }

            Span<float> patch = patches.AsSpan(i * columns, columns);
            long image = ((rest * dims[1]) + FirstChannel) * plane;
            for (int k = 0; k < perChannel; k++)
            {
                long offset = Offset(k, kernel, dilations, origin, sizes);
                for (int c = 0; c < Channels && offset >= 0; c++)
                {
                    patch[(c * perChannel) + k] = values[checked((int)(image + (c * plane) + offset))];
                }
            }
        }

        return patches;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Kernel}/{Strides}/{Dilations}/{Pads}/{FirstChannel}+{Channels}/{Positions}");

    /// <summary>Where a kernel element lies in the plane; -1 outside of it.</summary>
    private static long Offset(int element, long[] kernel, long[] dilations, long[] origin, long[] sizes)
    {
        long offset = 0;
        long stride = 1;
        for (int a = kernel.Length - 1; a >= 0; a--)
        {
            long at = origin[a] + (element % kernel[a] * dilations[a]);
            element = (int)(element / kernel[a]);
            if (at < 0 || at >= sizes[a])
            {
                return -1;
            }

            offset += at * stride;
            stride *= sizes[a];
        }

        return offset;
    }

    private (long Before, long Outputs) Padding(int axis, long size, long reach, long stride, int axes)
    {
        if (Pads is "same_upper" or "same_lower")
        {
            long outputs = (size + stride - 1) / stride;
            long total = Math.Max(0, ((outputs - 1) * stride) + reach - size);
            return (Pads == "same_upper" ? total / 2 : total - (total / 2), outputs);
        }

        long[] pads = List(Pads);
        long padded = size + pads[axis] + pads[axes + axis];
        return (pads[axis], padded < reach ? 0 : ((padded - reach) / stride) + 1);
    }

    private static long[] List(string text) => [.. text.Split('x').Select(part => long.Parse(part, CultureInfo.InvariantCulture))];
}
