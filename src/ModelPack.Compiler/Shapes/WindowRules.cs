using System.Collections.Immutable;

namespace ModelPack.Compiler.Shapes;

/// <summary>Convolutions, pooling and resizing: operators that go over windows of the spatial axes of [batch, channels, ...].</summary>
internal static class WindowRules
{
    public static void Conv(NodeShapes node) => Convolve(node, weight: 1, node.Input(0).DType, output: 0);

    public static void ConvInteger(NodeShapes node) => Convolve(node, weight: 1, DType.I32, output: 0);

    public static void QLinearConv(NodeShapes node) => Convolve(node, weight: 3, node.Input(7).DType, output: 0);

    /// <summary>Our convolution on packed weights: outputs and windows are attributes.</summary>
    public static void PackedConv(NodeShapes node)
    {
        if (node.Shape(0) is not Shape x)
        {
            return;
        }

        long Of(string name, bool last) => node.Node.Int(name + (last ? "_w" : "_h"), 0);
        var window = new Window(node, x.Rank - 2);
        long[] dims = [.. x.Dims];
        dims[1] = node.Node.Int("N", 0);
        for (int axis = 2; axis < x.Rank; axis++)
        {
            bool last = axis == x.Rank - 1;
            dims[axis] = window.Outputs(x[axis], Of("kernel", last), Of("stride", last), Of("dilation", last), Of("pad", last) + Of("pad_end", last));
        }

        node.Give(0, DType.F32, new Shape(dims));
    }

    public static void ConvTranspose(NodeShapes node)
    {
        if (node.Shape(0) is not Shape x || node.Shape(1) is not Shape w)
        {
            return;
        }

        var window = new Window(node, x.Rank - 2);
        ImmutableArray<long> more = node.PerAxis("output_padding", window.Axes, 0);
        ImmutableArray<long> given = node.Node.Ints("output_shape");
        long[] dims = [x[0], w[1] * node.Node.Int("group", 1), .. Enumerable.Range(0, window.Axes).Select(i =>
            !given.IsEmpty ? given[given.Length - window.Axes + i]
            : window.IsSame ? x[i + 2] * window.Strides[i]
            : (window.Strides[i] * (x[i + 2] - 1)) + more[i] + ((w[i + 2] - 1) * window.Dilations[i]) + 1 - window.Pads(i))];
        node.Give(0, node.Input(0).DType, new Shape(dims));
    }

    public static void Pool(NodeShapes node)
    {
        if (node.Shape(0) is Shape x)
        {
            ImmutableArray<long> kernel = node.Node.Ints("kernel_shape");
            var window = new Window(node, kernel.Length);
            var shape = new Shape([x[0], x[1], .. kernel.Select((k, i) => window.Outputs(x[i + 2], k, i))]);
            node.Give(0, node.Input(0).DType, shape);
            node.Give(1, DType.I64, shape);
        }
    }

    public static void GlobalPool(NodeShapes node)
    {
        if (node.Shape(0) is Shape x)
        {
            node.Give(0, node.Input(0).DType, new Shape([x[0], x[1], .. Enumerable.Repeat(1L, x.Rank - 2)]));
        }
    }

    /// <summary>Resize and Upsample: new sizes, or factors.</summary>
    public static void Resize(NodeShapes node)
    {
        if (node.Shape(0) is not Shape x || node.Text("keep_aspect_ratio_policy", "stretch") != "stretch")
        {
            return;
        }

        int[] axes = node.Node.Ints("axes") is { IsEmpty: false } some ? [.. some.Select(a => NodeShapes.Axis(a, x.Rank))] : [.. Enumerable.Range(0, x.Rank)];
        int factors = node.Node.Is("Upsample") || node.Opset < 11 ? 1 : 2;
        double[]? scales = node.Node.Attribute("scales") is AttributeValue.Floats list ? [.. list.Values.Select(v => (double)v)] : node.Input(factors).Elements is { IsDefault: false, Length: > 0 } read ? [.. read] : null;
        long[] dims = [.. x.Dims];
        for (int i = 0; i < axes.Length; i++)
        {
            if (node.Has(3) && node.Integers(3) is { } sizes)
            {
                dims[axes[i]] = sizes[i];
            }
            else if (scales is not null)
            {
                dims[axes[i]] = (long)Math.Floor(x[axes[i]] * (float)scales[i]);
            }
            else
            {
                return;
            }
        }

        node.Give(0, node.Input(0).DType, new Shape(dims));
    }

    private static void Convolve(NodeShapes node, int weight, DType dtype, int output)
    {
        if (node.Shape(0) is Shape x && node.Shape(weight) is Shape w)
        {
            var window = new Window(node, w.Rank - 2);
            node.Give(output, dtype, new Shape([x[0], w[0], .. Enumerable.Range(0, window.Axes).Select(i => window.Outputs(x[i + 2], w[i + 2], i))]));
        }
    }

    /// <summary>The attributes of windows.</summary>
    private readonly struct Window(NodeShapes node, int axes)
    {
        private readonly ImmutableArray<long> _pads = node.PerAxis("pads", 2 * axes, 0);
        private readonly string _auto = node.Text("auto_pad", "NOTSET");
        private readonly bool _ceiling = node.Node.Int("ceil_mode", 0) != 0;

        public int Axes => axes;

        public ImmutableArray<long> Strides { get; } = node.PerAxis("strides", axes, 1);

        public ImmutableArray<long> Dilations { get; } = node.PerAxis("dilations", axes, 1);

        public bool IsSame => _auto.StartsWith("SAME", StringComparison.Ordinal);

        /// <summary>Padding of an axis before and after together.</summary>
        public long Pads(int axis) => _auto == "VALID" ? 0 : _pads[axis] + _pads[axis + axes];

        public long Outputs(long size, long kernel, int axis) =>
            IsSame ? (size + Strides[axis] - 1) / Strides[axis] : Outputs(size, kernel, Strides[axis], Dilations[axis], Pads(axis), _auto == "VALID" ? 0 : _pads[axis]);

        public long Outputs(long size, long kernel, long stride, long dilation, long pads, long before = 0)
        {
            long room = size + pads - ((kernel - 1) * dilation) - 1;
            if (!_ceiling)
            {
                return Math.Max(0, (room / stride) + 1);
            }

            // A window that would begin behind the input and what is padded before it does not count.
            long outputs = ((room + stride - 1) / stride) + 1;
            return Math.Max(0, (outputs - 1) * stride >= size + before ? outputs - 1 : outputs);
        }
    }
}
