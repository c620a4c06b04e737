namespace ModelPack.Containers.Checkpoint;

/// <summary>What a matrix of integers is made of.</summary>
/// <param name="Shape">[out, in].</param>
/// <param name="Bits">2 to 8.</param>
/// <param name="Group">Inputs that share a scale.</param>
/// <param name="GroupCount">Groups of a row.</param>
/// <param name="Codes">Rows of codes from 0 to 2^bits - 1, packed to bytes, low bits first.</param>
/// <param name="Scales">[out, groups].</param>
/// <param name="ScaleType">f32, f16 or bf16.</param>
/// <param name="Zeros">Rows of zero codes, packed like codes; null: 2^(bits - 1).</param>
/// <param name="Order">The group of every input where that is not its number by <paramref name="Group"/>.</param>
internal readonly record struct IntegerParts(Shape Shape, int Bits, int Group, int GroupCount, TensorData Codes, TensorData Scales, DType ScaleType, TensorData? Zeros, int[]? Order);
